//! effnet
fn main() {}
