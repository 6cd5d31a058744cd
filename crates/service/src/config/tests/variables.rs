//! Variables that are settings, nearly settings, or injected by Kubernetes.

use super::*;
use crate::config::variable::variable;

/// Loads with nothing but this environment; the settings, or the whole error text.
fn check(env: &[(&str, &str)]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().expect("a temp folder");
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let given = Sources { env, working_dir: dir.path().to_owned(), ..Sources::default() };
    load(&given).map_err(|error| crate::error::chain(&error))
}

#[test]
fn every_setting_has_one_variable_and_no_other_way_to_write_it_passes_unseen() {
    let mut names = std::collections::BTreeSet::new();
    for (path, _) in RULES {
        let right = variable(path);
        let (section, key) = path.split_once('.').expect("section and key");
        assert!(!section.contains("__") && !key.contains("__"), "{path}");
        assert!(names.insert(right.replace('_', "")), "{path} is written like another");
        // Right but for the value: the rule of the setting speaks.
        if let Err(error) = check(&[(&right, "\u{0}")]) {
            assert!(error.contains(path) && error.contains(&right), "{error}");
        }
        for wrong in [
            right.replace("__", "_"),
            right.to_lowercase(),
            right.replace("__", "_").to_lowercase(),
            right.replace("__", "."),
            right.replace("GATEMETER_", "GATEMETER__"),
            right.replace("__", "___"),
            right.replace("__", ""),
            format!("{right}_"),
        ] {
            let error = check(&[(&wrong, "planted")]).expect_err("it must not pass unseen");
            let expected =
                format!("the environment variable {wrong} has no effect: the setting is {right}");
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn what_kubernetes_injects_for_any_service_does_no_harm() {
    let services = [
        "GATEMETER",
        "GATEMETER_INGEST",
        "GATEMETER_AGGREGATOR",
        "GATEMETER_API",
        "GATEMETER_MYSQL",
        "GATEMETER_KAFKA",
        "GATEMETER_REDIS",
        "GATEMETER_SERVER",
        "GATEMETER_LOG",
        "GATEMETER_DATA",
        "GATEMETER_QUEUE",
        "GATEMETER_INGEST__BLUE",
        "GATEMETER__X",
    ];
    let plain = Settings::default();
    for service in services {
        for (address, url) in [("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]")] {
            for (protocol, word) in [("TCP", "tcp"), ("UDP", "udp"), ("SCTP", "sctp")] {
                let of = |end: &str| format!("{service}_{end}");
                let url = format!("{word}://{url}:3306");
                let env = [
                    (of("SERVICE_HOST"), address),
                    (of("SERVICE_PORT"), "3306"),
                    (of("SERVICE_PORT_HTTP"), "3306"),
                    (of("SERVICE_PORT_HTTP_METRICS"), "3306"),
                    (of("SERVICE_PORT_A__B"), "3306"),
                    (of("PORT"), url.as_str()),
                    (of(&format!("PORT_3306_{protocol}")), url.as_str()),
                    (of(&format!("PORT_3306_{protocol}_PROTO")), word),
                    (of(&format!("PORT_3306_{protocol}_PORT")), "3306"),
                    (of(&format!("PORT_3306_{protocol}_ADDR")), address),
                ];
                let env: Vec<(&str, &str)> =
                    env.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                assert_eq!(check(&env).expect("none of it is a setting"), plain, "{service}");
            }
        }
    }
}

#[test]
fn port_of_a_service_is_told_from_a_port_that_somebody_meant_to_set() {
    let error = check(&[("GATEMETER_MYSQL_PORT", "3307")]).expect_err("written wrong");
    assert!(error.ends_with("GATEMETER_MYSQL__PORT"), "{error}");
    assert_eq!(check(&[("GATEMETER_MYSQL__PORT", "3307")]).expect("right").mysql.port, 3307);
    let error = check(&[("GATEMETER_MYSQL__PORT", "tcp://10.0.0.7:3306")]).expect_err("no number");
    assert!(error.contains("mysql.port"), "{error}");
}

#[test]
fn variables_of_others_pass_and_unknown_settings_do_not() {
    let others = [
        ("GATEMETER_VERSION", "1"),
        ("GATEMETER_INGEST_KEY", "for replay"),
        ("GATEMETER_", ""),
        ("GATEMETER", ""),
        ("GATEMÉTER_INGEST_LISTEN", ""),
    ];
    assert_eq!(check(&others).expect("none of them is ours"), Settings::default());
    for unknown in ["GATEMETER_INGEST__SERVICE_HOST", "GATEMETER_INGEST__PORT_80"] {
        let error = check(&[(unknown, "x")]).expect_err("unknown");
        assert!(error.starts_with("unknown setting") && error.contains(unknown), "{error}");
    }
}
