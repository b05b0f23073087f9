//! Data is lost, and an operator does what the programs say: word for word, and nothing is lost by that.

use std::{fs, path::Path, process::Command};

use pbkv::protocol::{identity::ServerId, view_service::Distress};
use rustix::process::Signal;

use crate::cluster::{Cluster, VIEWSERVICE, eventually, failed, run, said, succeeded, viewservice};

async fn is_lost(cluster: &Cluster) {
    eventually("the loss is noticed", async || {
        matches!(cluster.report().await.distress, Some(Distress::DataLost(_))).then_some(())
    })
    .await;
}

/// The command line of the view service that 'testclient view' shows, without the name of the program.
fn shown(view: &str, option: &str) -> Vec<String> {
    let line =
        view.lines().find(|line| line.contains(option)).unwrap_or_else(|| panic!("no {option}: {view}"));
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[0], "viewservice", "{line}");
    words[1..].to_vec()
}

fn told(args: &[String]) -> std::process::Output {
    viewservice(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_command_line_that_is_shown_gives_up_what_nobody_holds() {
    run(async {
        let (mut cluster, s1) = Cluster::of_one().await;
        cluster.client().put("k", "v").await.expect("put");
        let address = s1.address.clone();
        s1.kill();
        let s1 = cluster.server_at(&address, &[]);
        is_lost(&cluster).await;
        // Only when every ping has been taken for a while.
        let view = eventually("it is known that nothing is left", async || {
            let view = said(&cluster.testclient(&["view"]));
            let is_known = view.contains("No running server holds any of the data");
            assert!(is_known || view.contains("is not known yet") && !view.contains("--accept"), "{view}");
            Some(view).filter(|_| is_known)
        })
        .await;
        let command = shown(&view, "--accept-data-loss");
        cluster.view_service.logs("no server that holds all the data is left").await;
        assert!(
            !cluster.view_service.log().contains("--accept-data-loss"),
            "another server may hold something"
        );
        let busy = failed(&told(&command), 3);
        assert!(busy.contains("still runs in the folder") && busy.contains("stop it first"), "{busy}");
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));

        // Without a generation it says what would be lost, and changes nothing.
        let record = cluster.dir().join("record").join("view");
        let before = fs::read(&record).expect("a record");
        let (generation, look) = command.split_last().expect("some words");
        let looked = succeeded(&told(look));
        assert!(looked.contains("all data of generation 1 (g1."), "{looked}");
        assert!(looked.contains(&address) && looked.contains("held all of it as primary"), "{looked}");
        assert!(
            looked.contains("nothing was changed") && looked.contains("--accept-data-loss 1"),
            "{looked}"
        );
        let wrong = [look, &["2".to_owned()]].concat();
        let refused = failed(&told(&wrong), 3);
        assert!(
            refused.contains("the current generation is 1, not 2") && refused.contains(&address),
            "{refused}"
        );
        assert_eq!((fs::read(&record).expect("a record"), &**generation), (before, "1"));

        // A folder that is not there is a slip, and is not made.
        let nowhere = cluster.dir().join("nothere");
        for generation in [&[][..], &["1"]] {
            let slip = ["--dir", nowhere.to_str().expect("UTF-8"), "--accept-data-loss"];
            assert!(failed(&viewservice(&[&slip, generation].concat()), 3).contains("there is no folder"));
            assert!(!nowhere.exists());
        }

        let done = succeeded(&told(&command));
        assert!(done.contains("held all of it") && done.contains("generation 2 begins"), "{done}");
        cluster.start_view_service(&["--replicas", "1"]);
        assert_eq!(cluster.settled(&s1, 0).await.generation.number, 2);
        assert_eq!(cluster.client().get("k").await.expect("it is empty"), None);
    });
}

/// The command line in a message, with this in place of the word that an operator has to find.
fn filled(message: &str, option: &str, word: &str, by: &str) -> Vec<String> {
    let mut words = shown(message, option);
    let last = words.last_mut().expect("some words");
    assert_eq!(last, word, "{message}");
    by.clone_into(last);
    words
}

#[test]
fn every_message_about_a_damaged_record_leads_out_of_it() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1", "--dead-after", "900ms"]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        s1.kill();
        let record = cluster.dir().join("record").join("view");
        let whole = fs::read(&record).expect("a record");
        fs::write(&record, &whole[..10]).expect("cut");
        let folder = record.parent().expect("a folder").display().to_string();
        let address = cluster.view_service.address.clone();

        // The start names both ways, with the options that were given.
        let place = ["--addr", &address, "--dir", &folder];
        let start = [&place[..], &["--replicas", "1", "--dead-after", "900ms"]].concat();
        let refused = failed(&viewservice(&start), 3);
        let give_up = ["--dir", &folder, "--accept-data-loss", "1"].map(str::to_owned).to_vec();
        assert_eq!(filled(&refused, "--accept-data-loss", "GENERATION", "1"), give_up);
        assert!(refused.contains("g1... is generation 1"), "{refused}");

        // No server holds anything: adopting says so, and names the other way.
        let empty = cluster.server(&[]);
        let adopt = filled(&refused, "--adopt", "SERVER", &empty.address);
        assert_eq!(adopt[..start.len()], start);
        let nothing = failed(&told(&adopt), 3);
        assert!(nothing.contains("holds no data") && !nothing.contains("without --adopt"), "{nothing}");
        assert_eq!(filled(&nothing, "--accept-data-loss", "GENERATION", "1"), give_up);

        // Without the number that way changes nothing, and leads on; with it, it is done.
        let looked = succeeded(&told(&give_up[..3]));
        assert!(looked.contains("no record can be read in") && looked.contains("nothing was changed"));
        assert_eq!(filled(&looked, "--accept-data-loss", "GENERATION", "1"), give_up);
        assert_eq!(fs::read(&record).expect("a record"), whole[..10]);
        assert!(
            failed(&told(&shown(&looked, "--accept-data-loss")), 2).contains("write a whole number from 1")
        );
        assert!(succeeded(&told(&give_up)).contains("generation 2 begins"));
        cluster.start_view_service(&["--replicas", "1"]);
        assert_eq!(cluster.settled(&empty, 0).await.generation.number, 2);
    });
}

#[test]
fn nobody_is_told_to_give_up_what_a_server_that_runs_still_holds() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, s2) = cluster.pair_of(&[]).await;
        let mut client = cluster.client();
        client.put("early", "on both").await.expect("put");
        s2.signal(Signal::STOP);
        cluster.settled(&s1, 0).await;
        client.put("late", "on one").await.expect("put");
        let address = s1.address.clone();
        s1.kill();
        let s1 = cluster.server_at(&address, &[]);
        is_lost(&cluster).await;
        s2.signal(Signal::CONT);
        let adopt = format!("--adopt {}", s2.address);
        let view = eventually("it is heard", async || {
            Some(said(&cluster.testclient(&["view"]))).filter(|view| view.contains(&adopt))
        })
        .await;
        assert!(
            view.contains(&format!("{} is running and holds the data up to operation 2", s2.address)),
            "{view}"
        );
        // Nor by a view service that has just started, and does not know the server from its record.
        for _ in 0..3 {
            cluster.restart_view_service(Signal::TERM, &[]).await;
            eventually("it is heard again", async || {
                let view = said(&cluster.testclient(&["view"]));
                assert!(!view.contains("--accept-data-loss"), "{view}");
                view.contains(&adopt).then_some(())
            })
            .await;
        }
        let get = cluster.testclient(&["--deadline", "2s", "get", "early"]);
        let told = view + &failed(&get, 5);
        assert!(!told.contains("--accept-data-loss"), "{told}");

        // Word for word: the record moves away, and the line is run.
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let record = cluster.dir().join("record").join("view");
        fs::rename(&record, record.with_extension("away")).expect("moved");
        let command = shown(&told, &adopt);
        cluster.start_view_service(&["--adopt", &s2.address]);
        let place =
            [cluster.view_service.address.clone(), record.parent().expect("a folder").display().to_string()];
        assert_eq!(command, ["--addr", &place[0], "--dir", &place[1], "--adopt", &s2.address]);
        let listens = cluster.report().await.distress;
        assert_eq!(listens, Some(Distress::Adopting(ServerId::new(&*s2.address))));
        cluster.settled(&s2, 1).await;
        let mut client = cluster.client();
        assert_eq!(client.get("early").await.expect("get").as_deref(), Some(&b"on both"[..]));
        assert_eq!(client.get("late").await.expect("get"), None, "that was lost with {}", s1.address);
    });
}

#[test]
fn the_command_line_that_is_shown_has_all_options_and_any_folder() {
    run(async {
        let (mut cluster, s1) = Cluster::of_one().await;
        cluster.client().put("k", "v").await.expect("put");
        let address = s1.address.clone();
        s1.kill();
        let _s1 = cluster.server_at(&address, &[]);
        is_lost(&cluster).await;
        cluster.view_service.end(Signal::TERM).await;
        let (old, folder) = (cluster.dir().join("record"), cluster.dir().join("it's\u{e4} $(record)"));
        fs::rename(old, &folder).expect("moved");
        let others = ["--replicas", "3", "--dead-after", "2s", "--log", "info,h2=debug"];
        cluster.start_view_service_in(&folder, &others);
        let view = eventually("it has listened", async || {
            Some(said(&cluster.testclient(&["view"]))).filter(|view| view.contains("--accept-data-loss"))
        })
        .await;
        let line = view.lines().find(|line| line.contains("--accept-data-loss")).expect("it was found");
        assert!(line.is_ascii() && line.contains(&others.join(" ")), "{line}");

        // Word for word, in a shell.
        cluster.view_service.end(Signal::TERM).await;
        let programs = Path::new(VIEWSERVICE).parent().expect("a folder").display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").expect("there is one"));
        let ended =
            Command::new("bash").args(["-c", line.trim()]).env("PATH", path).output().expect("a shell");
        assert!(succeeded(&ended).contains("generation 2 begins"), "{ended:?}");
    });
}
