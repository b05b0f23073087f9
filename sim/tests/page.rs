//! The page about a run, opened in a real browser: a headless Chromium, where one is installed.
//!
//! Without one these tests cannot look, and their names say so. `PBKV_CHROMIUM` names a browser that is not
//! on the path.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use sim::{
    bound::{End, Happening, Moment, Operation, Outcome, Plan},
    generate::generate,
    store::{
        messages::REPLICATION,
        operation::{Input, Output},
    },
};
use testbed::{
    data::{
        fault::Memory,
        outcome::{Contradiction, Verdict},
    },
    observer::messages::Message,
    report::page,
};

/// Names under which Chromium is installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Width of the names at the left of the picture.
const LABELS: f64 = 104.0;
/// Width of the window.
const WINDOW: f64 = 1280.0;

/// A look at a page with this browser.
type Test = fn(&Path) -> Result<(), Failed>;

fn main() {
    let arguments = Arguments::from_args();
    let tests: [(&str, Test); 4] = [
        ("opens_without_errors_and_shows_the_violation", shows_the_violation),
        ("opens_at_the_moment_of_its_address", follows_its_address),
        ("shows_a_run_without_a_failure", shows_a_good_run),
        ("shows_what_a_client_wrote_as_text", shows_text_as_text),
    ];
    let trials = match browser() {
        Some(browser) => tests
            .map(|(name, test)| {
                let browser = browser.clone();
                Trial::test(format!("page::{name}"), move || test(&browser))
            })
            .into(),
        None => vec![Trial::test("page::SKIPPED_because_no_chromium_was_found", || Ok(()))],
    };
    libtest_mimic::run(&arguments, trials).exit();
}

fn browser() -> Option<PathBuf> {
    if let Some(named) = env::var_os("PBKV_CHROMIUM").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let places = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// What a page looks like after its script ran, and what it complained about.
struct Opened {
    dom: String,
    complaints: Vec<String>,
}

fn open(browser: &Path, name: &str, page: &str, address: &str) -> Result<Opened, Failed> {
    let folder = env::temp_dir().join(format!("pbkv-page-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let file = folder.join("page.html");
    fs::write(&file, page)?;
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=3000", "--window-size=1280,900"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(["--dump-dom", &format!("file://{}{address}", file.display())])
        .output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints = complaints.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    fs::remove_dir_all(&folder)?;
    let opened = Opened { dom, complaints };
    if !opened.complaints.is_empty() {
        return Err(opened.complaints.join("\n").into());
    }
    if !opened.dom.contains("data-ready=\"true\"") {
        return Err(format!("the script did not come to its end ({})", output.status).into());
    }
    Ok(opened)
}

impl Opened {
    /// The horizontal places of the elements whose opening tags hold all of `marks`.
    fn places(&self, marks: &[&str], attribute: &str) -> Vec<f64> {
        let tags = self.dom.split('<').filter(|tag| marks.iter().all(|mark| tag.contains(mark)));
        let value = |tag: &str| {
            let (_, rest) = tag.split_once(&format!(" {attribute}=\""))?;
            rest.split_once('"')?.0.parse().ok()
        };
        tags.filter_map(value).collect()
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn operation(client: &str, from: f64, to: f64, input: Input, output: Output) -> Operation {
    let end = End::Returned { at: seconds(to), output };
    Operation { end, ..Operation::called(client.into(), seconds(from), input) }
}

fn plan() -> Plan {
    let mut plan = generate(1);
    plan.cluster.servers = 3;
    plan.clients.truncate(2);
    plan
}

/// Half a minute in which c2 reads an old value at 21 s.
fn stale(value: &'static str) -> Outcome {
    let key = || bytes::Bytes::from_static(b"k1");
    let put = |from, to, value: &'static str| {
        operation("c1", from, to, Input::Put { key: key(), value: value.into() }, Output::Done)
    };
    let get = |from, to, value: &'static str| {
        let output = Output::Value(Some(value.into()));
        operation("c2", from, to, Input::Get { key: key() }, output)
    };
    let operations =
        vec![put(1.0, 1.1, "old"), put(20.0, 20.2, value), get(21.0, 21.01, "old"), get(29.0, 29.1, value)];
    let moment = |at, node: &str, event| Moment { at: seconds(at), node: node.into(), event };
    let mut timeline = vec![moment(0.0, "s1", Happening::Up { life: 1, memory: Memory::Kept })];
    for (index, operation) in operations.iter().enumerate() {
        let event = Happening::Called { operation: index };
        timeline.push(Moment { at: operation.called, node: operation.client.clone(), event });
    }
    let message = |from, to, sent: f64, lost: bool| Message {
        from,
        to,
        kind: REPLICATION,
        text: "append".into(),
        sent: seconds(sent),
        received: (!lost).then(|| seconds(sent + 0.002)),
        lost,
    };
    Outcome {
        timeline,
        messages: vec![message(1, 2, 20.1, false), message(1, 3, 20.1, true)],
        operations,
        verdict: Verdict::Violation(Contradiction {
            key: key(),
            operations: vec![1, 2],
            support: vec![0],
            sentence: "the value was replaced before the get was called".into(),
        }),
        ..Outcome::default()
    }
}

fn shows_the_violation(browser: &Path) -> Result<(), Failed> {
    let page = page::render(&plan(), &stale("new"), "a stale read");
    let opened = open(browser, "violation", &page, "")?;
    let against = opened.places(&["class=\"op ok against", "data-kind=\"operation\""], "x");
    let failed = opened.places(&["line", "class=\"failed\"", "y1=\"20\""], "x1");
    let in_view = |x: &f64| (LABELS..WINDOW).contains(x);
    if against.len() != 2 || !against.iter().all(in_view) || failed.len() != 1 || !failed.iter().all(in_view)
    {
        return Err(format!("operations at {against:?}, failure at {failed:?}: not all in view").into());
    }
    if opened.places(&["path", "class=\"m m2 lost"], "data-index").len() != 1 {
        return Err("the lost message is not drawn as lost".into());
    }
    if !opened.dom.contains("although c1's put \"k1\" \"new\" finished 800 ms earlier") {
        return Err("the sentence is missing".into());
    }
    Ok(())
}

fn follows_its_address(browser: &Path) -> Result<(), Failed> {
    let page = page::render(&plan(), &stale("new"), "a stale read");
    let opened = open(browser, "address", &page, "#t=1.05")?;
    let cursor = opened.places(&["line", "class=\"cursor\""], "x1");
    if cursor.len() != 1 || !(LABELS..WINDOW).contains(&cursor[0]) || !opened.dom.contains("1.050000 s") {
        return Err(format!("the cursor is at {cursor:?}").into());
    }
    Ok(())
}

fn shows_a_good_run(browser: &Path) -> Result<(), Failed> {
    let mut outcome = stale("new");
    outcome.operations.remove(2);
    outcome.timeline.truncate(1);
    outcome.verdict = Verdict::Linearizable;
    let opened = open(browser, "good", &page::render(&plan(), &outcome, "a good run"), "")?;
    let all = opened.places(&["class=\"op ok", "data-kind=\"operation\""], "x");
    if all.len() != 3 || !opened.dom.contains("all well") {
        return Err(format!("operations at {all:?}").into());
    }
    let button = opened.dom.split('<').find(|tag| tag.contains("id=\"violation\""));
    if button.is_none_or(|button| !button.contains("disabled")) {
        return Err(format!("there is no failure to jump to: {button:?}").into());
    }
    // The label of the first moment is not cut off at its left.
    let first = opened.places(&["text", "class=\"tick\"", "text-anchor=\"start\""], "x");
    if !matches!(first[..], [x] if x >= LABELS) {
        return Err(format!("labels at {first:?}").into());
    }
    Ok(())
}

fn shows_text_as_text(browser: &Path) -> Result<(), Failed> {
    let hostile = "</script><img src=x onerror=console.error(1)>{{data}}";
    let page = page::render(&plan(), &stale(hostile), hostile);
    let opened = open(browser, "hostile", &page, "")?;
    if opened.dom.contains("<img") {
        return Err("a value became an element".into());
    }
    Ok(())
}
