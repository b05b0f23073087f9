//! Compiles `proto/` without an installed `protoc`: protox parses, madsim-tonic-build generates the
//! code of the real world and, under `cfg(madsim)`, that of the simulated one.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTOS: [&str; 4] = ["viewservice.proto", "kvserver.proto", "replication.proto", "storage.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let path = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(&path, descriptors.encode_to_vec())?;
    tonic_build::configure()
        .bytes(["."])
        .file_descriptor_set_path(&path)
        .skip_protoc_run()
        .emit_rerun_if_changed(false) // it names paths that are not there, and everything would be built anew each time
        .compile_protos(&PROTOS, &["proto"])?;
    Ok(())
}
