//! Panics of what is run are failures like others: caught, with their place, and not printed.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

// rules: allow static: the hook of panics has no other way to know its run, which has a thread of its own
thread_local! {
    /// On threads where panics are caught: the first one since.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs something; the error is the message of a panic and its place in the source.
///
/// # Errors
///
/// It panicked.
pub fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // rules: allow static: the process has one hook, the same for all runs
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
                let message = format!("{}{}", text(info.payload()), place.unwrap_or_default());
                PANICKED.with(|panicked| panicked.borrow_mut().get_or_insert(message).clone());
            } else {
                before(info);
            }
        }));
    });
    let outer = CATCHING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(outer);
    let panicked = PANICKED.with(|panicked| panicked.borrow_mut().take());
    result.map_err(|payload| panicked.unwrap_or_else(|| text(&*payload)))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into())
}
