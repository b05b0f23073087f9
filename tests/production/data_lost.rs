//! Data is lost, and every command says so by one exit code: a script need not try again.

use pbkv::protocol::view_service::Distress;
use serde_json::Value;

use crate::cluster::{Cluster, eventually, failed, run, said};

#[test]
fn every_command_tells_that_data_is_lost() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
        cluster.client().put("k", "v").await.expect("put");
        let address = server.address.clone();
        let check = cluster.spawn_testclient(
            &cluster.view_service.address,
            &["check", "--time", "1h", "--clients", "2", "--deadline", "2s"],
        );
        eventually("the check is under way", async || {
            let count = cluster.testclient(&["count", "--prefix", "check-"]);
            (count.stdout != b"0\n").then_some(())
        })
        .await;
        server.kill();
        let _server = cluster.server_at(&address, &[]);
        eventually("the loss is noticed", async || {
            matches!(cluster.report().await.distress, Some(Distress::DataLost(_))).then_some(())
        })
        .await;

        for args in [
            &["get", "k"][..],
            &["put", "k", "v"],
            &["cas", "k", "v"],
            &["delete", "k"],
            &["keys"],
            &["count"],
            &["delete", "--prefix", "k", "--yes"],
            &["check", "--time", "1h", "--clients", "2"],
        ] {
            let args = [args, &["--deadline", "300ms"]].concat();
            let why = failed(&cluster.testclient(&args), 5);
            assert!(why.contains("DATA LOST: ") && why.contains("'testclient view'"), "{args:?}: {why}");
            let told = cluster.testclient(&[&args[..], &["--output", "json"]].concat());
            assert_eq!(failed(&told, 5), "", "{args:?}");
            let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
            assert_eq!(told["error"], "data_lost", "{args:?}: {told}");
        }
        // 'view' is what others refer to.
        let view = cluster.testclient(&["view"]);
        failed(&view, 5);
        let view = said(&view);
        assert!(view.contains("DATA LOST: ") && !view.contains("'testclient view'"), "{view}");

        // What was answered before is judged.
        let checked = check.output();
        assert!(failed(&checked, 5).contains("it ended early: not executed: "), "{checked:?}");
        assert!(said(&checked).contains("linearizable"), "{checked:?}");
    });
}
