use super::*;

/// The rules that a source breaks, and where.
fn broken(text: &str) -> Vec<(usize, &'static str)> {
    check_source(Path::new("src/x.rs"), text).0.iter().map(|it| (it.line, it.rule)).collect()
}

/// Fails unless the rule finds the first line of `bad`, and nothing is found in `good`.
fn tells_apart(rule: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        assert_eq!(broken(text), [(1, rule)], "{text}");
        assert_eq!(broken(&format!("mod inside {{\n    {text}\n}}")), [(2, rule)], "inside: {text}");
        let quoted = format!("// {text}\n/* {text} */\nconst TEXT: &str = r#\"{text}\"#;");
        assert_eq!(broken(&quoted), [], "a comment and a string: {text}");
        assert_eq!(broken(&format!("#[cfg(test)]\nmod tests {{\n    {text}\n}}")), [], "a test: {text}");
    }
    for text in good {
        assert_eq!(broken(text), [], "{text}");
    }
}

#[test]
fn select_must_be_biased() {
    tells_apart(
        "select",
        &[
            "fn f() { tokio::select! { _ = a => {} } }",
            "fn f() { futures::select! { _ = a => {} } }",
            "fn f() { let it = select! { x = a => x, biased; }; }",
            "fn f() { println!(\"{}\", select! { x = a => x }); }",
        ],
        &[
            "fn f() { tokio::select! { biased; _ = a => {} } }",
            "fn f() { if select != 3 { select(3) } }",
            "macro_rules! both { () => { tokio::select! { biased; _ = a => {} } } }",
        ],
    );
    let inside = "fn f() {\n    tokio::select! {\n        biased;\n        _ = a => select! { _ = b => {} },\n    }\n}";
    assert_eq!(broken(inside), [(4, "select")], "one inside of another");
}

#[test]
fn hash_tables_are_forbidden() {
    tells_apart(
        "iteration",
        &[
            "use std::collections::HashMap;",
            "use std::collections::{BTreeMap, HashSet as Set};",
            "struct S { it: std::collections::HashMap<u8, u8> }",
            "use ahash::AHasher;",
            "fn f() { let state = RandomState::new(); }",
        ],
        &[
            "use std::collections::BTreeMap;",
            "struct HashMapLike;",
            "use std::collections::{BTreeMap, BTreeSet};",
        ],
    );
    let used = "use std::collections::HashMap;\nfn f(it: HashMap<u8, u8>) {}";
    assert_eq!(broken(used), [(1, "iteration")], "an import is found once");
}

#[test]
fn the_machines_clock_is_forbidden() {
    tells_apart(
        "clock",
        &[
            "fn f() { std::time::Instant::now() }",
            "fn f() { ::std::time::SystemTime::now(); }",
            "use std::time::Instant;",
            "use std::{io, time::{Duration, Instant as Now}};",
            "fn f() { use std::time; time::Instant::now() }",
            "fn f() { use std::time::*; Instant::now() }",
            "fn f() { use std::time::SystemTime as Wall; Wall::now() }",
            "fn f() { use std as s; s::time::Instant::now() }",
        ],
        &[
            "use tokio::time::Instant;\nfn f() { Instant::now() }",
            "use madsim::time::*;\nfn f() { Instant::now() }",
            "use std::time::{Duration, SystemTime};\nfn f(at: SystemTime) { at.duration_since(SystemTime::UNIX_EPOCH); }",
            "enum At { Instant }\nfn f() { clock.now() }",
        ],
    );
}

#[test]
fn threads_are_forbidden() {
    tells_apart(
        "thread",
        &[
            "fn f() { std::thread::spawn(|| {}); }",
            "use std::{fmt, thread};",
            "fn f() { use std::*; thread::sleep(it) }",
        ],
        &["fn f() { tokio::spawn(async {}); }", "struct S { thread: u8 }\nfn f(s: S) { s.thread }"],
    );
    let used = "use std::thread;\nfn f() { thread::spawn(|| {}); }";
    assert_eq!(broken(used), [(1, "thread")], "an import is found once");
}

#[test]
fn randomness_comes_from_the_seed() {
    tells_apart(
        "randomness",
        &[
            "fn f() { rand::rng() }",
            "fn f() { let n: u8 = rand::random(); }",
            "fn f() { rand::random::<u8>() }",
            "use rand::thread_rng;",
            "use rand::rngs::OsRng;",
            "fn f() { StdRng::from_os_rng() }",
            "fn f() { getrandom::fill(&mut it) }",
            "fn f() { std::process::id() }",
        ],
        &["use rand::{Rng, SeedableRng, rngs::StdRng};\nfn f() { StdRng::seed_from_u64(1).random() }"],
    );
}

#[test]
fn state_does_not_outlive_a_run() {
    tells_apart(
        "static",
        &[
            "static mut COUNT: u8 = 0;",
            "pub static COUNT: std::sync::atomic::AtomicU64 = AtomicU64::new(0);",
            "fn f() { static IT: Mutex<Vec<u8>> = Mutex::new(Vec::new()); }",
            "pub(crate) static IT: Option<LazyLock<u8>> = None;",
            "thread_local! { }",
            "lazy_static::lazy_static! { }",
            "use once_cell::sync::Lazy;",
        ],
        &[
            "static NAMES: [&str; 2] = [\"a\", \"b\"];",
            "fn f(it: &'static Mutex<u8>) {}",
            "struct S { it: Mutex<u8> }",
            "const NONE: AtomicU8 = AtomicU8::new(0);",
        ],
    );
}

#[test]
fn sockets_and_files_of_the_machine_are_forbidden() {
    let bad = ["use std::net::TcpStream;", "fn f() { std::net::UdpSocket::bind(it) }"];
    tells_apart("net", &bad, &["use std::net::{IpAddr, SocketAddr};", "use tokio::net::TcpStream;"]);
    let bad =
        ["use std::{fs::File, io};", "fn f() { std::fs::read(it) }", "use tokio::fs;", "use std::fs::*;"];
    tells_apart("fs", &bad, &["use std::io;", "fn f(fs: Disk) { fs.read() }", "mod fs {}"]);
}

#[test]
fn an_exception_covers_what_it_stands_above() {
    let of_a_line = "// rules: allow fs: the log of production\nuse std::fs;\nuse std::thread;";
    assert_eq!(broken(of_a_line), [(3, "thread")], "of one rule and one statement");
    let of_more = "// rules: allow fs: one reason,\n// and more words of it\n// rules: allow thread: another\nuse std::{\n    \
                   fs,\n    thread,\n};";
    assert_eq!(broken(of_more), []);
    let of_a_module = "// rules: allow fs: production\n/// Docs.\n#[cfg(unix)]\npub mod real {\n    use std::fs;\n}\nuse std::fs;";
    assert_eq!(broken(of_a_module), [(7, "fs")]);
    let below_docs =
        "/// Docs.\n// rules: allow fs: production\n#[inline]\nfn f() {\n    std::fs::read(it)\n}";
    assert_eq!(broken(below_docs), []);
}

#[test]
fn an_exception_needs_a_reason_and_a_use() {
    assert_eq!(broken("// rules: allow fs\nuse std::fs;"), [(1, "exception")]);
    assert_eq!(broken("// rules: allow fs: \nuse std::fs;"), [(1, "exception")]);
    assert_eq!(broken("// rules: allow files: no such rule\nuse std::fs;"), [(2, "fs"), (1, "exception")]);
    assert_eq!(broken("// rules: allow fs: it was needed once\nuse std::io;"), [(1, "exception")]);
    let quoted = "const TEXT: &str = \"\n// rules: allow fs: a text\n\";";
    assert_eq!(broken(quoted), []);
}

#[test]
fn tests_are_left_out() {
    assert_eq!(broken("#[cfg(test)]\nuse std::fs;\nuse std::thread;"), [(3, "thread")]);
    assert_eq!(broken("#![cfg(test)]\nuse std::fs;\nuse std::thread;"), []);
    assert_eq!(broken("#[cfg(all(test, unix))]\nfn f() { std::fs::read(it) }"), []);
    assert_eq!(broken("#[cfg(not(test))]\nuse std::fs;"), [(2, "fs")]);
    assert_eq!(
        broken("struct S {\n    #[cfg(test)]\n    a: HashMap,\n    b: HashMap,\n}"),
        [(4, "iteration")]
    );
    assert_eq!(broken("fn f<A, B>() {}\n#[cfg(test)]\nfn g<A, B>() { std::fs::read(it) }"), []);
    let modules = |file: &str| check_source(Path::new(file), "#[cfg(test)]\npub mod tests;\nmod other;").1;
    assert_eq!(modules("src/lib.rs"), [Path::new("src/tests")]);
    assert_eq!(modules("src/a/mod.rs"), [Path::new("src/a/tests")]);
    assert_eq!(modules("src/a.rs"), [Path::new("src/a/tests")]);
    assert!(is_of(Path::new("src/a/tests.rs"), Path::new("src/a/tests")));
    assert!(is_of(Path::new("src/a/tests/mod.rs"), Path::new("src/a/tests")));
    assert!(!is_of(Path::new("src/a/tests_of_it.rs"), Path::new("src/a/tests")));
}

#[test]
fn a_file_that_is_no_rust_is_found() {
    assert_eq!(broken("fn f() {\n    \"unclosed\n}"), [(2, "unreadable")]);
    assert_eq!(check(&[Path::new("not/there")])[0].rule, "unreadable");
}

#[test]
fn this_room_obeys_its_own_rules_but_for_reading_files() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    assert_clean(&[&room]);
}
