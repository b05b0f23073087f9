//! A backup is taken under load and restored into another cluster; and the view service's disk is lost while
//! everything is down.

use std::{fs, path::Path, time::Duration};

use pbkv::protocol::identity::ViewNumber;
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, Process, eventually, failed, kvserver, run, said, succeeded};

/// A server that keeps what it holds in a folder of its own.
fn keeping(cluster: &mut Cluster, name: &str, address: &str) -> Process {
    let dir = cluster.dir().join(name);
    cluster.server_at(address, &["--data-dir", path(&dir)])
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).expect("an object")
}

#[test]
fn a_backup_taken_under_load_holds_what_was_acknowledged_before() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = keeping(&mut cluster, "s1", "localhost:0");
        cluster.settled(&s1, 0).await;
        let s2 = keeping(&mut cluster, "s2", "localhost:0");
        let view = cluster.settled(&s1, 1).await;
        let mut client = cluster.client();
        for number in 0..200 {
            client.put(format!("key {number:03}"), format!("value {number}")).await.expect("put");
        }
        let address = cluster.view_service.address.clone();
        let load = ["check", "--time", "3s", "--clients", "4", "--keys", "3"];
        let load = cluster.spawn_testclient(&address, &load);
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Of the backup as of the primary, which writes to that folder meanwhile.
        let (one, other) = (cluster.dir().join("one"), cluster.dir().join("other"));
        for (dir, file) in [("s1", &one), ("s2", &other)] {
            let dir = cluster.dir().join(dir);
            let saved = object(&succeeded(&kvserver(&["backup", path(&dir), path(file), "--json"])));
            assert!(saved["keys"].as_u64() >= Some(200), "{saved}");
            assert!(saved["after"]["operation"].as_u64() > Some(200), "{saved}");
            let found = object(&succeeded(&kvserver(&["inspect", path(file), "--json"])));
            for field in ["server", "keys", "after", "generation"] {
                assert_eq!(found[field], saved[field], "{field}");
            }
            assert_eq!((&found["log"]["operations"], &found["sessions"]), (&0.into(), &0.into()));
            let inside = failed(&kvserver(&["backup", path(&dir), path(&dir.join("9.journal"))]), 3);
            assert!(inside.contains("a backup has no place there"), "{inside}");
            fs::write(cluster.dir().join("Cargo.lock"), "").expect("no server's");
            let other = file.with_extension("other");
            fs::write(&other, "precious").expect("written");
            let precious = failed(&kvserver(&["backup", path(&dir), path(&other), "--replace"]), 3);
            assert!(precious.contains("exists and is no backup"), "{precious}");
            let link = file.with_extension("link");
            std::os::unix::fs::symlink("nowhere", &link).expect("made");
            let nowhere = failed(&kvserver(&["backup", path(&dir), path(&link)]), 3);
            assert!(nowhere.contains("leads nowhere"), "{nowhere}");
            let piped = kvserver(&["backup", path(&dir), "/dev/stdout"]);
            let through = file.with_extension("piped");
            fs::write(&through, &piped.stdout).expect("written");
            succeeded(&kvserver(&["inspect", path(&through)]));
            let exists = failed(&kvserver(&["backup", path(&dir), path(file)]), 3);
            assert!(exists.contains("exists: choose another name, or add --replace"), "{exists}");
            succeeded(&kvserver(&["backup", path(&dir), path(file), "--replace"]));
        }
        succeeded(&load.output());
        client.put("later", "than the backup").await.expect("put");

        // Another cluster, which a server of the first one disturbs.
        let mut second = Cluster::start(&[]);
        let view_service = second.view_service.address.clone();
        assert_eq!(second.view_service.end(Signal::TERM).await, Some(0));
        let r1 = second.dir().join("r1");
        let free = keeping(&mut second, "free", "localhost:0");
        let own = free.address.clone();
        free.kill();
        let restore = ["restore", path(&one), path(&r1), "--advertise", &own];
        let restored = succeeded(&kvserver(&restore));
        assert!(restored.contains(&format!("--adopt {own}")), "{restored}");
        let refused = failed(&kvserver(&restore), 3);
        assert!(refused.contains("restore into another folder"), "{refused}");
        let r1 = keeping(&mut second, "r1", &own);
        s2.kill();
        let s2 = cluster.dir().join("s2");
        let backup = view.backups().next().expect("one").as_str();
        let stranger = second.server_at(backup, &["--data-dir", path(&s2)]);
        second.start_view_service(&["--adopt", &own]);
        assert_eq!(second.view_service.address, view_service);
        let view = second.settled(&r1, 0).await;
        assert_eq!(view.generation.number, 2);
        let mut reader = second.client();
        for number in 0..200 {
            let value = reader.get(format!("key {number:03}")).await.expect("get");
            assert_eq!(value.as_deref(), Some(format!("value {number}").as_bytes()), "key {number}");
        }
        assert_eq!(reader.get("later").await.expect("get"), None);
        reader.put("new", "life").await.expect("put");
        // No revision of the other cluster, which went on, is given out again.
        let revision = object(&succeeded(&second.testclient(&["put", "k", "v", "--output", "json"])));
        assert!(revision["revision"].as_u64() > Some(1 << 32), "{revision}");
        eventually("the stranger is not used", async || {
            said(&second.testclient(&["view"])).contains(&stranger.address).then_some(())
        })
        .await;
        assert_eq!(second.report().await.view.expect("a view").insync.len(), 1);
        let r2 = keeping(&mut second, "r2", "localhost:0");
        second.settled(&r1, 1).await;
        r1.kill();
        second.settled(&r2, 0).await;
        assert_eq!(reader.get("new").await.expect("get").as_deref(), Some(&b"life"[..]));
    });
}

#[test]
fn nothing_is_lost_with_the_disk_of_the_view_service() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let mut s1 = keeping(&mut cluster, "s1", "localhost:0");
        cluster.settled(&s1, 0).await;
        let mut s2 = keeping(&mut cluster, "s2", "localhost:0");
        cluster.pair(ViewNumber(1)).await;
        let mut client = cluster.client();
        for number in 0..100 {
            client.put(format!("key {number}"), format!("value {number}")).await.expect("put");
        }
        s1.die();
        s2.die();
        cluster.view_service.die();
        fs::remove_dir_all(cluster.dir().join("record")).expect("removed");
        let (first, second) = (s1.address.clone(), s2.address.clone());
        s1 = keeping(&mut cluster, "s1", &first);
        s2 = keeping(&mut cluster, "s2", &second);
        cluster.start_view_service(&["--adopt", &second]);
        cluster.settled(&s2, 1).await;
        for number in 0..100 {
            let value = client.get(format!("key {number}")).await.expect("get");
            assert_eq!(value.as_deref(), Some(format!("value {number}").as_bytes()), "key {number}");
        }
        client.put("after", "it").await.expect("the session lives");
        s2.kill();
        cluster.settled(&s1, 0).await;
        assert_eq!(client.get("after").await.expect("get").as_deref(), Some(&b"it"[..]));
    });
}

#[test]
fn what_is_no_backup_is_refused_in_a_sentence() {
    let dir = tempfile::tempdir().expect("a folder");
    let (file, target) = (dir.path().join("file"), dir.path().join("target"));
    let restore = || failed(&kvserver(&["restore", path(&file), path(&target)]), 3);
    assert!(restore().contains("cannot read"), "there is none");
    fs::write(&file, "no backup").expect("written");
    assert!(restore().contains("is no sound backup: it does not begin with"), "it is another file");
    assert!(!target.exists(), "nothing was made");
    let all = ["restore", path(&file), path(&target), "--advertise", "0.0.0.0:8001"];
    assert!(failed(&kvserver(&all), 2).contains("it means all addresses of a machine"));
    let inspect = failed(&kvserver(&["inspect", path(&file)]), 3);
    assert!(inspect.contains("is no sound backup"), "{inspect}");
    let none = failed(&kvserver(&["backup", path(&target), path(&dir.path().join("new"))]), 3);
    assert!(none.contains("is no folder"), "{none}");
    let empty = failed(&kvserver(&["backup", path(dir.path()), path(&dir.path().join("new"))]), 3);
    assert!(empty.contains("nothing was ever kept in"), "{empty}");
}
