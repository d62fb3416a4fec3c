use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{root, target};

/// `cargo xtask dist`
pub fn run() -> Result<()> {
    crate::run(crate::cargo().args(["build", "--release", "-p", "tidewater"]))?;
    let name = format!("tidewater-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let folder = target().join("dist").join(&name);
    std::fs::create_dir_all(&folder)?;
    let binary = folder.join("tidewater");
    std::fs::copy(target().join("release/tidewater"), &binary).context("cannot copy the binary")?;
    crate::run(Command::new("strip").arg(&binary))?;
    for file in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"] {
        std::fs::copy(root().join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    let tarball = target().join("dist").join(format!("{name}.tar.gz"));
    crate::run(Command::new("tar").arg("-czf").arg(&tarball).arg("-C").arg(target().join("dist")).arg(&name))?;
    let sum: String = Sha256::digest(std::fs::read(&tarball)?).iter().map(|b| format!("{b:02x}")).collect();
    let line = format!("{sum}  {name}.tar.gz\n");
    std::fs::write(tarball.with_extension("gz.sha256"), &line)?;
    print!("{line}");
    Ok(())
}
