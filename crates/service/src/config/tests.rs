//! Which source wins, what is refused and how the refusal reads.

mod variables;

use std::fs;
use std::path::Path;

use super::rule::{RULES, Rule};
use super::*;

fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn sources(dir: &Path) -> Sources {
    Sources { working_dir: dir.to_owned(), ..Sources::default() }
}

/// Loads with this file, environment and flags; the settings, or the whole error text.
fn check(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().expect("a temp folder");
    fs::write(dir.path().join(FILE_NAME), file).expect("a settings file");
    let given = Sources { env: pairs(env), flags: pairs(flags), ..sources(dir.path()) };
    load(&given).map_err(|error| {
        let shown = crate::error::chain(&error);
        shown.replace(&format!("{}/", dir.path().display()), "")
    })
}

fn refused(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)], expected: &str) {
    let error = check(file, env, flags).expect_err("must be refused");
    assert!(error.starts_with(expected), "{error:?} does not start with {expected:?}");
}

#[test]
fn defaults_are_those_of_the_contract() {
    let settings = Settings::default();
    assert_eq!(settings.api.listen.to_string(), "127.0.0.1:8001");
    assert_eq!(settings.aggregator.listen.to_string(), "127.0.0.1:8002");
    assert_eq!(settings.ingest.listen.to_string(), "127.0.0.1:8003");
    assert_eq!(settings.data.dir, Path::new("./gatemeter-data"));
    assert_eq!(settings.ingest.namespaces_max, 1_000);
    assert_eq!(settings.aggregator.dedup_bytes_max, 512 << 20);
    assert_eq!(settings.queue.bytes_max, 10 << 30);
    assert_eq!(settings.api.timezone.iana_name(), Some("UTC"));
    assert_eq!(settings.log, LogSettings { level: LogLevel::Info, format: LogFormat::Text });
}

#[test]
fn unknown_section_is_refused_even_if_it_is_empty_and_a_known_one_may_be_empty() {
    let unknown = "unknown setting `bogus` (in gatemeter.toml line 2)";
    refused("[ingest]\n[bogus]\n", &[], &[], unknown);
    check("[ingest]\n# listen = \"127.0.0.1:1\"\n[api]\n", &[], &[]).expect("nothing is set");
    refused(
        "ingest = 1\n",
        &[],
        &[],
        "setting `ingest` (in gatemeter.toml line 1) must be a table",
    );
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "[ingest]\nmodels_max = 2\nupstreams_max = 2\nendpoints_max = 2\n";
    let env = [("GATEMETER_INGEST__MODELS_MAX", "3"), ("GATEMETER_INGEST__UPSTREAMS_MAX", "3")];
    let settings = check(file, &env, &[("ingest.models_max", "4")]).expect("all are valid");
    assert_eq!(settings.ingest.models_max, 4);
    assert_eq!(settings.ingest.upstreams_max, 3);
    assert_eq!(settings.ingest.endpoints_max, 2);
    assert_eq!(settings.ingest.policies_max, 100);
}

#[test]
fn named_file_goes_before_the_one_in_the_working_directory() {
    let dir = tempfile::tempdir().expect("a temp folder");
    fs::write(dir.path().join(FILE_NAME), "[log]\nlevel = \"debug\"\n").expect("a file");
    let named = dir.path().join("named.toml");
    fs::write(&named, "[log]\nformat = \"json\"\n").expect("a file");
    let given = Sources { file: Some(named), ..sources(dir.path()) };
    let settings = load(&given).expect("both are valid");
    assert_eq!(settings.log, LogSettings { level: LogLevel::Info, format: LogFormat::Json });
}

#[test]
fn named_file_must_exist_and_the_other_need_not() {
    let dir = tempfile::tempdir().expect("a temp folder");
    assert_eq!(load(&sources(dir.path())).expect("no file is fine"), Settings::default());
    let given = Sources { file: Some(dir.path().join("gone.toml")), ..sources(dir.path()) };
    let error = load(&given).expect_err("a named file must exist").to_string();
    assert!(error.contains("cannot read the settings file") && error.contains("gone.toml"));
}

#[test]
fn every_kind_of_value_can_come_from_the_environment() {
    let env = [
        ("GATEMETER_DATA__DIR", "/var/lib/gatemeter"),
        ("GATEMETER_INGEST__AUTO_REGISTER", "false"),
        ("GATEMETER_INGEST__LISTEN", "[::1]:0"),
        ("GATEMETER_API__TIMEZONE", "Asia/Shanghai"),
        ("GATEMETER_LOG__FORMAT", "json"),
        ("GATEMETER_VERSION", "no setting, for it has no section"),
        ("HOME", "/root"),
    ];
    let settings = check("", &env, &[]).expect("all are valid");
    assert_eq!(settings.data.dir, Path::new("/var/lib/gatemeter"));
    assert!(!settings.ingest.auto_register);
    assert_eq!(settings.ingest.listen.to_string(), "[::1]:0");
    assert_eq!(settings.api.timezone.iana_name(), Some("Asia/Shanghai"));
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn unknown_setting_is_refused_with_path_and_origin() {
    refused(
        "# first line\n[ingest]\nlisen = \"x\"\n",
        &[],
        &[],
        "unknown setting `ingest.lisen` (in gatemeter.toml line 3); [ingest] has listen, auto_",
    );
    refused(
        "[ingestion]\nlisten = \"x\"\n",
        &[],
        &[],
        "unknown setting `ingestion.listen` (in gatemeter.toml line 2); the sections are data, ",
    );
    refused("dir = \"x\"\n", &[], &[], "unknown setting `dir` (in gatemeter.toml line 1)");
    refused(
        "",
        &[("GATEMETER_INGEST__LISEN", "x")],
        &[],
        "unknown setting `ingest.lisen` (in the environment variable GATEMETER_INGEST__LISEN)",
    );
    refused(
        "",
        &[("GATEMETER_ingest__listen", "127.0.0.1:1")],
        &[("ingest.listen", "127.0.0.1:2")],
        "the environment variable GATEMETER_ingest__listen has no effect: the setting is \
         GATEMETER_INGEST__LISTEN",
    );
    refused("", &[], &[("data.dri", "x")], "unknown setting `data.dri` (on the command line)");
}

#[test]
fn wrong_type_is_refused_with_path_and_origin() {
    for (value, found) in [
        ("\"8\"", "\"8\""),
        ("true", "true"),
        ("8.5", "a float"),
        ("[8]", "an array"),
        ("{ a = 1 }", "a table"),
        ("99999999999999999999", "an integer beyond 64 bits"),
    ] {
        refused(
            &format!("[ingest]\ngather_ms = {value}\n"),
            &[],
            &[],
            &format!(
                "setting `ingest.gather_ms` (in gatemeter.toml line 2) must be a whole number \
                 from 0 to 1000, not {found}"
            ),
        );
    }
    refused(
        "",
        &[("GATEMETER_INGEST__AUTO_REGISTER", "yes")],
        &[],
        "setting `ingest.auto_register` (in the environment variable \
         GATEMETER_INGEST__AUTO_REGISTER) must be true or false, not \"yes\"",
    );
    refused("[data]\ndir = 7\n", &[], &[], "setting `data.dir` (in gatemeter.toml line 2) must");
}

#[test]
fn value_out_of_range_is_refused_with_path_and_origin() {
    refused(
        "",
        &[],
        &[("server.drain_timeout_ms", "10000")],
        "setting `server.drain_timeout_ms` (on the command line) must be a whole number from 0 to \
         9000, not 10000",
    );
    refused(
        "[api]\ntimezone = \"Mars/Olympus\"\n",
        &[],
        &[],
        "setting `api.timezone` (in gatemeter.toml line 2) must be an IANA time zone",
    );
    for listen in ["localhost", "127.0.0.1", "127.0.0.1:70000", ":8001", ""] {
        refused("", &[], &[("api.listen", listen)], "setting `api.listen` (on the command line)");
    }
    refused("", &[], &[("log.level", "INFO")], "setting `log.level` (on the command line)");
    refused("", &[], &[("data.dir", "")], "setting `data.dir` (on the command line)");
}

#[test]
fn brokers_have_hosts_and_ports() {
    let kafka = |brokers| check("", &[("GATEMETER_KAFKA__BROKERS", brokers)], &[]);
    for brokers in ["kafka:9092", "10.0.0.1:9092,10.0.0.2:9093", "[::1]:9092"] {
        assert_eq!(kafka(brokers).expect("they are right").kafka.brokers, brokers);
    }
    for brokers in ["", "kafka", "kafka:", ":9092", "a:1,,b:2", "a:0", "a:70000", "a b:1"] {
        kafka(brokers).expect_err(brokers);
    }
}

#[test]
fn url_of_ingest_is_one_of_plain_http_or_none() {
    let ingest = |url| check("", &[("GATEMETER_API__INGEST_URL", url)], &[]);
    for (url, found) in [
        ("", None),
        ("http://127.0.0.1:8003", Some("http://127.0.0.1:8003")),
        ("http://ingest.internal/", Some("http://ingest.internal")),
    ] {
        assert_eq!(ingest(url).expect("it is right").api.ingest_url.as_deref(), found);
    }
    for url in ["https://ingest:8003", "ingest:8003", "http://", "http://ingest:0", "/x"] {
        let error = ingest(url).expect_err(url);
        assert!(error.starts_with("setting `api.ingest_url`"), "{error}");
    }
    let settings = check("[api]\ningest_key_file = \"/k\"\n", &[], &[]).expect("it is right");
    assert_eq!(settings.api.ingest_key_file.as_deref(), Some(Path::new("/k")));
}

#[test]
fn password_of_kafka_comes_from_the_environment_and_is_never_shown() {
    let error = check("[kafka]\nsasl_password = \"secret\"\n", &[], &[]).expect_err("no place");
    assert!(error.starts_with("setting `kafka.sasl_password`"), "{error}");
    assert!(!error.contains("secret\""), "{error}");
    for other in ["[mysql]\npassword = \" \"\n", "[redis]\npassword = 0\n"] {
        check(other, &[], &[]).expect_err(other);
    }
    let env = [("GATEMETER_KAFKA__SASL_PASSWORD", "hunter4")];
    let settings = check("[kafka]\nssl_ca_file = \"/ca.pem\"\n", &env, &[]).expect("it is right");
    assert_eq!(settings.kafka.ssl_ca_file.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(settings.kafka.sasl_password().expect("given").as_deref(), Some("hunter4"));
    assert!(!format!("{settings:?}").contains("hunter4"));
}

#[test]
fn text_that_is_no_toml_is_refused_with_the_place() {
    refused(
        "[ingest\n",
        &[],
        &[],
        "the settings file gatemeter.toml is not valid TOML: TOML parse",
    );
    refused("[log]\nlevel = \"info\"\nlevel = \"warn\"\n", &[], &[], "the settings file");
}

#[test]
fn every_setting_has_a_rule_and_a_place_in_the_types() {
    // The types refuse a field they do not know and one that is missing, so a value for every
    // rule that loads shows that file, rules and types hold the same settings.
    let entries = layer::from_toml(DEFAULT_TOML, &Origin::Default).expect("the defaults parse");
    let mut in_file: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let mut in_rules: Vec<&str> = RULES.iter().map(|(path, _)| *path).collect();
    in_file.sort_unstable();
    in_rules.sort_unstable();
    assert_eq!(in_file, in_rules);
    assert_eq!(Settings::default(), check("", &[], &[]).expect("the defaults load"));
}

#[test]
fn every_default_is_commented_with_its_range_and_reason() {
    for (path, rule) in RULES {
        let (section, key) = path.split_once('.').expect("a section and a key");
        let body = DEFAULT_TOML.split(&format!("\n[{section}]\n")).nth(1).expect("the section");
        let line = body.find(&format!("\n{key} = ")).expect("the key");
        let block = body[..line].rsplit("\n\n").next().expect("a comment above the key");
        let comment = block.replace("\n# ", " ");
        assert!(comment.contains("Reason: "), "{path} has no reason: {comment}");
        if let Rule::Integer(min, max) = rule {
            let range = format!("{min} to {max}.");
            assert!(comment.contains(&range), "{path} does not say {range}: {comment}");
        }
        if let Rule::Choice(words) = rule {
            assert!(comment.contains(&words.join(", ")), "{path} does not name its words");
            for word in *words {
                check("", &[], &[(*path, *word)]).expect("every word is a variant of the type");
            }
        }
    }
}

#[test]
fn a_password_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let env = [("GATEMETER_MYSQL__PASSWORD", "hunter2")];
    let settings = check("", &env, &[]).expect("it is valid");
    assert_eq!(settings.mysql.password().expect("no file"), Some("hunter2".to_owned()));
    assert!(!format!("{settings:?}").contains("hunter2"));
    let dir = tempfile::tempdir().expect("a temp folder");
    let file = dir.path().join("password");
    fs::write(&file, "hunter3\n").expect("a file");
    let env = [("GATEMETER_MYSQL__PASSWORD_FILE", file.to_str().expect("plain"))];
    let settings = check("", &env, &[]).expect("it is valid");
    assert_eq!(settings.mysql.password().expect("the file"), Some("hunter3".to_owned()));
    fs::remove_file(&file).expect("the file goes");
    let error = settings.mysql.password().expect_err("the file is gone");
    assert!(error.to_string().contains("cannot read the secret in"), "{error}");
    assert_eq!(Settings::default().mysql.password().expect("no file"), None);
}

#[test]
fn a_password_in_a_settings_file_or_on_the_command_line_is_refused_without_showing_it() {
    let file = "[mysql]\npassword = \"hunter2\"\n";
    let refusals = [
        check(file, &[], &[]).expect_err("not in a file"),
        check("", &[], &[("mysql.password", "hunter2")]).expect_err("not in a flag"),
        check("[mysql]\npassword = 2147\n", &[], &[]).expect_err("not in a file"),
    ];
    for error in refusals {
        assert!(error.contains("setting `mysql.password`"), "{error}");
        assert!(error.contains("must be set in the environment"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("2147"), "{error}");
    }
}

#[test]
fn what_is_printed_as_the_default_is_a_settings_file() {
    let printed = check(DEFAULT_TOML, &[], &[]).expect("every setting has its default");
    assert_eq!(printed, check("", &[], &[]).expect("nothing is set"));
    // The secrets stand there empty, and the environment goes over them.
    let env = [("GATEMETER_MYSQL__PASSWORD", "hunter5")];
    let settings = check(DEFAULT_TOML, &env, &[]).expect("it is right");
    assert_eq!(settings.mysql.password().expect("given").as_deref(), Some("hunter5"));
}
