//! `sidecard-generate DESCRIPTORS FOLDER`: writes Rust from a serialized `FileDescriptorSet`.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, descriptors, folder] = arguments.as_slice() else {
        return Err("usage: sidecard-generate DESCRIPTORS FOLDER".into());
    };
    let files = prost_types::FileDescriptorSet::decode(std::fs::read(descriptors)?.as_slice())?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .out_dir(folder)
        .compile_fds(files)?;
    Ok(())
}
