//! Unit tests of `options`.

use super::*;

fn with_password() -> KafkaOptions {
    KafkaOptions {
        security: KafkaSecurity {
            protocol: KafkaProtocol::SaslSsl,
            ca_file: Some(PathBuf::from("/etc/ca.pem")),
            sasl: Some(KafkaSasl {
                mechanism: "SCRAM-SHA-512".to_owned(),
                username: "gatemeter".to_owned(),
                password: KafkaPassword::new("hidden-from-all".to_owned()),
            }),
            ..KafkaSecurity::default()
        },
        ..KafkaOptions::default()
    }
}

#[test]
fn no_output_shows_the_password() {
    let options = with_password();
    assert!(!format!("{options:?}").contains("hidden"));
}

#[test]
fn client_gets_the_settings_of_the_options() {
    let config = with_password().client("ingest");
    assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
    assert_eq!(config.get("ssl.ca.location"), Some("/etc/ca.pem"));
    assert_eq!(config.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
    assert_eq!(config.get("sasl.password"), Some("hidden-from-all"));
    assert_eq!(config.get("ssl.key.location"), None);
    assert_eq!(KafkaOptions::default().client("x").get("sasl.username"), None);
}

#[test]
fn every_generation_has_a_topic_of_its_own() {
    let options = KafkaOptions { generation: 7, ..KafkaOptions::default() };
    assert_eq!(options.topic(), "gatemeter.events.g7");
}
