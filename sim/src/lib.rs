//! The deterministic simulator of pbkv.

pub mod generate;
pub mod scenario;
