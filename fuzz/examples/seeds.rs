//! Writes the sample inputs of every fuzz target into folders, for long runs of `cargo fuzz`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "corpus".into()));
    for (name, _, samples) in gateway_fuzz::targets() {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, sample) in samples.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), sample)?;
        }
    }
    Ok(())
}
