fn main() {
    println!("cargo:rustc-cfg=interleave");
    println!("cargo:rustc-check-cfg=cfg(interleave)");
}
