#!/bin/sh
# Makes the data set anew: installs the clients, starts each against the listener, and has other programs check the
# fingerprints. For Debian, as root; on other systems install the clients by other means and run the two last lines.
set -eu
cd "$(dirname "$0")/../../.."

export DEBIAN_FRONTEND=noninteractive # TShark's package asks who may capture.
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium curl default-jdk-headless firefox-esr gnutls-bin golang-go \
  libnss3-tools openssl python3-venv tshark wget wget2

clients=$PWD/target/capture
mkdir -p "$clients"
python3 -m venv "$clients/python"
"$clients/python/bin/pip" install --quiet --requirement crates/fingerprint/capture/clients/requirements.txt
npm install --silent --no-save --prefix "$clients" undici@7 node22@npm:node@22 node24@npm:node@24
cargo build --quiet --release --manifest-path crates/fingerprint/capture/clients/rust/Cargo.toml

export NODE_PATH="$clients/node_modules" PATH="$clients/python/bin:$PATH"
cargo run --release --manifest-path crates/fingerprint/capture/Cargo.toml
for version in 22 24; do
  PATH="$clients/node_modules/node$version/bin:$PATH" \
    cargo run --release --manifest-path crates/fingerprint/capture/Cargo.toml node-https node-fetch node-http2
done
cargo run --release --manifest-path crates/fingerprint/capture/Cargo.toml --bin cross-check
