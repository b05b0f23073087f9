//! A primary-backup key-value store that is also a deterministic simulation testbed.
