//! A database that is in use is not restored into, and whoever writes meanwhile is noticed.

use super::*;

#[tokio::test]
async fn a_database_in_use_is_refused_as_it_is() {
    let folder = folder();
    let file = a_backup(folder.path()).await;
    let (database, store) = on_server().await;
    store.put_key("admin", "admin", [1; 32]).await.expect("a key");
    let refused = restore_to_server(&file, &database.options(), &silent).await;
    let refused = refused.expect_err("a role was here").to_string();
    assert!(refused.contains("it holds a ledger, table access_key has rows"), "{refused}");
    assert_eq!(store.keys("admin").await.expect("keys").len(), 1);
    let (other, filled) = on_server().await;
    fill(&filled).await;
    let old = Database::of_before(&server_schema::MIGRATIONS[..9], &other).await;
    let refused = restore_to_server(&file, &old.options(), &silent).await;
    let refused = refused.expect_err("it is an older ledger").to_string();
    assert!(refused.contains("it has format 9"), "{refused}");
}

#[tokio::test]
async fn whoever_writes_during_a_restore_is_told_of() {
    let folder = folder();
    let file = a_backup(folder.path()).await;
    let target = Database::shared().await;
    let admin = tokio::sync::Mutex::new(target.admin().await);
    let (reached, options) = (Notify::new(), target.options());
    let report = |progress: Progress<'_>| {
        if let Progress::Rows { table: "series", .. } = progress {
            reached.notify_one();
        }
    };
    let restoring = restore_to_server(&file, &options, &report);
    let writing = async {
        reached.notified().await;
        let sql = "INSERT INTO access_key VALUES ('admin', 'admin', REPEAT('k', 32), 1)";
        admin.lock().await.execute(sql).await.expect("written");
    };
    let (restored, ()) = tokio::join!(restoring, writing);
    let refused = restored.expect_err("somebody wrote").to_string();
    assert!(refused.contains("Stop every role, and restore again"), "{refused}");
    restore_to_server(&file, &target.options(), &silent).await.expect("restored");
}
