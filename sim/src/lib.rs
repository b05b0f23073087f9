//! pbkv in the testbed: what the testbed is told about the store, and what must hold in it.
//!
//! The [`testbed`] runs whole systems, the code of production, in one thread and in virtual time, under
//! faults, and knows none of them. This crate is what pbkv adds:
//!
//! ```text
//!  generate ──► plans ──► testbed ──► outcomes
//!  stories,               │
//!  patterns               ├─ store    processes, clients, disks, mistakes of operators, words
//!                         ├─ judges   invariants, health, bounds, the servers' order
//!                         └─ claims   named plans and what must be seen in them
//! ```
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`store`] | the store as a system under test; begin here |
//! | [`generate`] | plans from seeds |
//! | [`judges`] | what must not happen |
//! | [`claims`] | named plans and what must be seen in them |
//! | [`mutants`] | known mistakes, planted one at a time |
//! | [`walk`], [`exhaust`] | the protocol's machines alone, driven by chance or through all states that they can come to, with the same judges |
//! | [`bound`] | the testbed's types for this store |
//!
//! Only execution needs the simulated world (`--cfg madsim`); the rest builds, and is tested, without it.

pub mod bound;
pub mod claims;
pub mod exhaust;
pub mod generate;
pub mod judges;
pub mod mutants;
pub mod store;
pub mod walk;
