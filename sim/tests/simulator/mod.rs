//! The simulator, for tests of what it does as a program.

use testbed::harness::Package;

/// Its package.
pub const PBKV: Package = Package { variables: "PBKV", ..testbed::package!() };
