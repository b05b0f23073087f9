//! Compiles `proto/` without an installed `protoc`, for the real and for the simulated world.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTO: &str = "counter.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    let path = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(&path, descriptors.encode_to_vec())?;
    tonic_build::configure()
        .file_descriptor_set_path(&path)
        .skip_protoc_run()
        .emit_rerun_if_changed(false) // it names paths that do not exist, so everything would be rebuilt each time
        .compile_protos(&[PROTO], &["proto"])?;
    Ok(())
}
