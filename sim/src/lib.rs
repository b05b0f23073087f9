//! The deterministic simulator of pbkv.
