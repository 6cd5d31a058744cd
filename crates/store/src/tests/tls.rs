//! Encryption: each mode connects where it should and nowhere else.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AssertSqlSafe, Executor};

use super::proxy::Proxy;
use super::server::Database;
use crate::{MysqlOptions, MysqlTls, Store};

/// Makes an authority and a certificate of it for `localhost`.
const MAKE: &str = r#"set -e
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $key -days 30 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req $key -subj /CN=localhost -keyout key.pem -out request.pem
echo subjectAltName=DNS:localhost > names
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
  -extfile names -out cert.pem"#;

fn make_certificates(folder: &Path) {
    let made = Command::new("sh")
        .args(["-c", MAKE])
        .current_dir(folder)
        .output()
        .expect("a shell runs, and openssl: scripts/test.sh installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The server may run as another user.
    let open = Command::new("chmod").args(["-R", "a+rX", "."]).current_dir(folder).status();
    assert!(open.expect("chmod runs").success());
}

#[tokio::test]
async fn each_mode_of_encryption_connects_where_it_should_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    make_certificates(folder.path());
    let at = |name: &str| folder.path().join(name);
    let database = Database::alone(vec![
        format!("--ssl-ca={}", at("ca.pem").display()),
        format!("--ssl-cert={}", at("cert.pem").display()),
        format!("--ssl-key={}", at("key.pem").display()),
    ])
    .await;
    let sql = format!("ALTER USER {} REQUIRE SSL", database.name);
    database.admin().await.execute(AssertSqlSafe(sql)).await.expect("done");
    let proxy = Proxy::new(database.server.socket()).await;
    let ca = Some(at("ca.pem"));
    let none: Option<PathBuf> = None;
    for (tls, ca_file, host, connects) in [
        (MysqlTls::Disabled, &none, "localhost", false),
        (MysqlTls::Preferred, &none, "localhost", true),
        (MysqlTls::Required, &none, "127.0.0.1", true),
        (MysqlTls::VerifyCa, &none, "localhost", false),
        (MysqlTls::VerifyCa, &ca, "127.0.0.1", true),
        (MysqlTls::VerifyIdentity, &ca, "localhost", true),
        (MysqlTls::VerifyIdentity, &ca, "127.0.0.1", false),
    ] {
        let options = MysqlOptions {
            host: host.to_owned(),
            port: proxy.port,
            socket: None,
            tls,
            ca_file: ca_file.clone(),
            ..database.options()
        };
        let opened = Store::open_mysql(&options).await;
        assert_eq!(opened.is_ok(), connects, "{tls:?} {ca_file:?} {host}: {opened:?}");
    }
}
