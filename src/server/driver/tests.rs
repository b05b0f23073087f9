//! The driver with a machine that writes down what happens to it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, executor::block_on, future::poll_fn};
use tokio::sync::oneshot;

use super::*;

/// What happened, in order.
type Diary = Arc<Mutex<Vec<String>>>;

struct Scribe(Diary);

enum Event {
    Input(u64),
    Persisted(WriteNumber),
    Tick,
    Flush,
}

impl Machine for Scribe {
    type Event = Event;
    type Effect = u64;

    fn step(&mut self, _now: Duration, event: Event, effects: &mut Vec<u64>) {
        let line = match event {
            Event::Input(number) => {
                effects.push(number);
                format!("Input({number})")
            }
            Event::Persisted(number) => format!("Persisted({number})"),
            Event::Tick => "Tick".into(),
            Event::Flush => return,
        };
        self.0.lock().expect("diary").push(line);
    }

    fn deadline(&self) -> Duration {
        Duration::ZERO // always due
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn flush() -> Event {
        Event::Flush
    }
}

/// Writes down each input.
struct Pen;

impl Port for Pen {
    type Machine = Scribe;
    type Input = u64;
    type Write = u64;

    fn admit(&mut self, _now: Duration, input: u64) -> Option<Event> {
        Some(Event::Input(input))
    }

    fn perform(&mut self, _now: Duration, number: u64) -> Option<(WriteNumber, Vec<u64>)> {
        Some((WriteNumber(number), vec![number]))
    }

    fn persisted(number: WriteNumber) -> Event {
        Event::Persisted(number)
    }
}

/// Each write waits for its turn, and ends as it is told.
struct Slow {
    diary: Diary,
    turns: VecDeque<oneshot::Receiver<io::Result<()>>>,
}

impl Storage for Slow {
    type Write = u64;

    async fn persist(&mut self, writes: Vec<u64>) -> io::Result<()> {
        self.diary.lock().expect("diary").push(format!("writing {writes:?}"));
        self.turns.pop_front().expect("a turn").await.expect("told")
    }
}

/// Time stands still, and nobody sleeps: the machine is woken by inputs and writes alone.
#[derive(Clone)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn sleep_until(&self, _at: Duration) {
        future::pending().await
    }
}

#[test]
fn the_machine_goes_on_while_the_disk_works() {
    let diary = Diary::default();
    let (turns, told): (Vec<_>, VecDeque<_>) = (0..2).map(|_| oneshot::channel()).unzip();
    let (inbox, inputs) = mpsc::channel(16);
    let storage = Slow { diary: diary.clone(), turns: told };
    let mut driver = Box::pin(run(Scribe(diary.clone()), Pen, inputs, storage, Still, ()));
    let mut settle = || {
        block_on(poll_fn(|context| {
            for _ in 0..8 {
                if let std::task::Poll::Ready(result) = driver.poll_unpin(context) {
                    return std::task::Poll::Ready(Some(result));
                }
            }
            std::task::Poll::Ready(None)
        }))
    };
    let mut turns = turns.into_iter();

    inbox.try_send(1).expect("room");
    assert!(settle().is_none());
    inbox.try_send(2).expect("room");
    inbox.try_send(3).expect("room");
    assert!(settle().is_none());
    // One write is under way; what came meanwhile is gathered for the next, and ticks are not forgotten.
    let so_far = ["Input(1)", "Tick", "writing [1]", "Input(2)", "Input(3)", "Tick"];
    assert_eq!(*diary.lock().expect("diary"), so_far);

    turns.next().expect("first").send(Ok(())).expect("awaited");
    assert!(settle().is_none());
    let then = ["Persisted(w1)", "Tick", "writing [2, 3]"];
    assert_eq!(diary.lock().expect("diary")[so_far.len()..], then);

    // A disk that fails ends the server; nothing is reported as durable.
    turns.next().expect("second").send(Err(io::Error::other("broken"))).expect("awaited");
    let ended = settle().expect("the driver ended").expect_err("with the disk's error");
    assert_eq!(ended.to_string(), "broken");
    assert_eq!(diary.lock().expect("diary").len(), so_far.len() + then.len());
}

/// Each sleep is over at once, as long as there are some left.
#[derive(Clone)]
struct Restless(Arc<AtomicUsize>);

impl Clock for Restless {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn sleep_until(&self, _at: Duration) {
        if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            future::pending().await
        }
    }
}

#[test]
fn a_machine_whose_disk_has_no_room_stands_still() {
    let diary = Diary::default();
    let (turns, told): (Vec<_>, VecDeque<_>) = (0..2).map(|_| oneshot::channel()).unzip();
    let queued = 2 * WRITES_WAITING_MAX;
    let (inbox, inputs) = mpsc::channel(queued);
    let storage = Slow { diary: diary.clone(), turns: told };
    let sleeps = Arc::new(AtomicUsize::new(100));
    let clock = Restless(sleeps.clone());
    let mut driver = Box::pin(run(Scribe(diary.clone()), Pen, inputs, storage, clock, ()));
    (0..queued).for_each(|number| inbox.try_send(number as u64).expect("room"));
    let mut settle =
        || block_on(poll_fn(|context| std::task::Poll::Ready(driver.poll_unpin(context).is_ready())));
    let count = |of: &str| diary.lock().expect("diary").iter().filter(|line| line.starts_with(of)).count();

    for _ in 0..2 * queued / BATCH_MAX {
        assert!(!settle()); // the machine is always due, and others have their turn after each batch
    }
    let taken = BATCH_MAX + WRITES_WAITING_MAX; // one batch is being written
    assert_eq!(count("Input"), taken);
    assert_eq!(count("Tick"), taken / BATCH_MAX, "one for each batch, none of its own");
    assert_eq!(sleeps.load(Ordering::Relaxed), 100);

    let mut turns = turns.into_iter();
    turns.next().expect("first").send(Ok(())).expect("awaited");
    assert!((0..4).all(|_| !settle())); // what is to be done between two writes has its turn as well
    assert!(count("Input") > taken, "there is room again");
}

/// Writes at once, and is never done with what is to be done after that.
struct Busy;

impl Storage for Busy {
    type Write = u64;

    async fn persist(&mut self, _: Vec<u64>) -> io::Result<()> {
        Ok(())
    }

    async fn keep_up(&mut self) -> io::Result<()> {
        future::pending().await
    }
}

#[test]
fn a_write_is_durable_before_what_nobody_waits_for() {
    let diary = Diary::default();
    let (inbox, inputs) = mpsc::channel(8);
    let mut driver = Box::pin(run(Scribe(diary.clone()), Pen, inputs, Busy, Still, ()));
    for number in [1, 2] {
        inbox.try_send(number).expect("room");
        for _ in 0..4 {
            block_on(poll_fn(|context| std::task::Poll::Ready(driver.poll_unpin(context).is_ready())));
        }
    }
    let written = |number| diary.lock().expect("diary").contains(&format!("Persisted(w{number})"));
    assert!(written(1), "it is reported at once");
    assert!(!written(2), "the next one has its turn later");
}
