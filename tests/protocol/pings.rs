//! Pings to a view service, made by hand.

use pbkv::protocol::{
    identity::{Boot, Generation, Position, ServerId, ViewNumber},
    message::{Ping, Token},
    view::Members,
    view_service::Effect,
};

/// A ping of a server that holds nothing and knows nothing.
pub fn of_a_newcomer(name: &str, number: u64, token: Option<Token>) -> Ping {
    Ping {
        server: ServerId::new(name),
        boot: Boot(1),
        data: None,
        generation: Generation::FIRST,
        view_known: ViewNumber(0),
        view_told: ViewNumber(0),
        confirmed: Members::new(),
        suspects: Default::default(),
        log_end: Position::default(),
        log_durable: Position::default(),
        progress: 0,
        echo: None,
        token,
        number,
        nonce: 0,
        wants_lease: false,
        copies_min: 0,
        cannot_follow: None,
    }
}

/// What the view service's probe brings to the address that a ping named.
pub fn token(effects: &[Effect]) -> Option<Token> {
    effects.iter().find_map(|effect| match effect {
        Effect::Probe { probe, .. } => Some(probe.token),
        _ => None,
    })
}
