//! The deterministic simulator of pbkv.

pub mod scenario;
