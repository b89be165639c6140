//! Link arguments of a Node addon; on Linux also `-z nodelete`, so that the addon outlives the workers that loaded it.

fn main() {
    napi_build::setup();
}
