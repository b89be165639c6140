//! The clients, each with the shell lines that start it and say its version.
//!
//! Lines may use `{url}` and `{port}` of the listener, `{ca}` (a PEM file to trust), `{dir}` (an
//! empty directory) and `{clients}` (the programs beside this crate).

pub struct Client {
    /// `family` or `family-variant`; also the name of the data file.
    pub name: &'static str,
    /// Prints the version; a client for which it prints nothing is skipped.
    pub version: &'static str,
    /// Prints the TLS library and its version.
    pub library: &'static str,
    pub command: &'static str,
    /// How often it is started: often enough to tell what it draws anew each time.
    pub runs: usize,
}

const RUNS: usize = 5;

const CURL_LIBRARY: &str = r"curl --version | sed -En '1s#.* (OpenSSL|GnuTLS)/([^ ]*).*#\1 \2#p'";
const NODE_LIBRARY: &str = "node -p '\"OpenSSL \" + process.versions.openssl'";
const NODE_VERSION: &str = "node -p process.versions.node";
const UNDICI_VERSION: &str = "node -p 'require(\"undici/package.json\").version'";
const PYTHON_LIBRARY: &str = "python3 -c 'import ssl; print(*ssl.OPENSSL_VERSION.split()[:2])'";

pub const CLIENTS: &[Client] = &[
    Client {
        name: "curl",
        version: "curl --version | awk 'NR == 1 { print $2 }'",
        library: CURL_LIBRARY,
        command: "curl --silent --cacert {ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "curl-http1",
        version: "curl --version | awk 'NR == 1 { print $2 }'",
        library: CURL_LIBRARY,
        command: "curl --silent --http1.1 --cacert {ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "wget",
        version: "wget --version | awk 'NR == 1 { print $3 }'",
        library: "wget --version | grep -q +ssl/gnutls && dpkg-query -W -f 'GnuTLS ${Version}' libgnutls30",
        command: "wget --quiet --output-document=- --ca-certificate={ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "wget2",
        version: "wget2 --version | awk 'NR == 1 { print $3 }'",
        library: "dpkg-query -W -f 'GnuTLS ${Version}' libgnutls30",
        command: "wget2 --quiet --output-document=- --ca-certificate={ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "openssl",
        version: "openssl version | awk '{ print $2 }'",
        library: "openssl version | awk '{ print $1, $2 }'",
        command: "openssl s_client -connect localhost:{port} -CAfile {ca} < /dev/null",
        runs: RUNS,
    },
    Client {
        name: "gnutls",
        version: "gnutls-cli --version | awk 'NR == 1 { print $2 }'",
        library: "gnutls-cli --version | awk 'NR == 1 { print \"GnuTLS\", $2 }'",
        command: "gnutls-cli --x509cafile {ca} --port {port} localhost < /dev/null",
        runs: RUNS,
    },
    Client {
        name: "node-https",
        version: NODE_VERSION,
        library: NODE_LIBRARY,
        command: "NODE_EXTRA_CA_CERTS={ca} node -e 'require(\"https\").get(process.argv[1], (answer) => answer.resume())' {url}",
        runs: RUNS,
    },
    Client {
        name: "node-fetch",
        version: NODE_VERSION,
        library: NODE_LIBRARY,
        command: "NODE_EXTRA_CA_CERTS={ca} node -e 'fetch(process.argv[1]).then((answer) => answer.text())' {url}",
        runs: RUNS,
    },
    Client {
        name: "node-http2",
        version: NODE_VERSION,
        library: NODE_LIBRARY,
        command: "NODE_EXTRA_CA_CERTS={ca} node -e 'const session = require(\"http2\").connect(process.argv[1]); session.request({ \":path\": \"/\" }).on(\"close\", () => session.destroy()).resume()' {url}",
        runs: RUNS,
    },
    Client {
        name: "node-undici",
        version: UNDICI_VERSION,
        library: NODE_LIBRARY,
        command: "NODE_EXTRA_CA_CERTS={ca} node -e 'require(\"undici\").fetch(process.argv[1]).then((answer) => answer.text())' {url}",
        runs: RUNS,
    },
    Client {
        name: "node-undici-h2",
        version: UNDICI_VERSION,
        library: NODE_LIBRARY,
        command: "NODE_EXTRA_CA_CERTS={ca} node -e 'const { Agent, fetch } = require(\"undici\"); fetch(process.argv[1], { dispatcher: new Agent({ allowH2: true }) }).then((answer) => answer.text())' {url}",
        runs: RUNS,
    },
    Client {
        name: "python-ssl",
        version: "python3 -c 'import platform; print(platform.python_version())'",
        library: PYTHON_LIBRARY,
        command: "python3 {clients}/ssl_get.py {ca} {port}",
        runs: RUNS,
    },
    Client {
        name: "python-urllib",
        version: "python3 -c 'import platform; print(platform.python_version())'",
        library: PYTHON_LIBRARY,
        command: "SSL_CERT_FILE={ca} python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' {url}",
        runs: RUNS,
    },
    Client {
        name: "python-requests",
        version: "python3 -c 'import requests; print(requests.__version__)'",
        library: PYTHON_LIBRARY,
        command: "REQUESTS_CA_BUNDLE={ca} python3 -c 'import sys, requests; requests.get(sys.argv[1])' {url}",
        runs: RUNS,
    },
    Client {
        name: "python-httpx",
        version: "python3 -c 'import httpx; print(httpx.__version__)'",
        library: PYTHON_LIBRARY,
        command: "SSL_CERT_FILE={ca} python3 -c 'import sys, httpx; httpx.get(sys.argv[1])' {url}",
        runs: RUNS,
    },
    Client {
        name: "python-httpx-h2",
        version: "python3 -c 'import h2, httpx; print(httpx.__version__)'",
        library: PYTHON_LIBRARY,
        command: "SSL_CERT_FILE={ca} python3 -c 'import sys, httpx; httpx.Client(http2=True).get(sys.argv[1])' {url}",
        runs: RUNS,
    },
    Client {
        name: "python-aiohttp",
        version: "python3 -c 'import aiohttp; print(aiohttp.__version__)'",
        library: PYTHON_LIBRARY,
        command: "SSL_CERT_FILE={ca} python3 {clients}/aiohttp_get.py {url}",
        runs: RUNS,
    },
    Client {
        name: "go",
        version: "go env GOVERSION | sed 's/^go//'",
        library: "go env GOVERSION | sed 's/^go/crypto\\/tls /'",
        command: "SSL_CERT_FILE={ca} GOFLAGS= go run {clients}/get.go {url}",
        runs: RUNS,
    },
    Client {
        name: "rust-reqwest",
        version: "cargo pkgid --manifest-path {clients}/rust/Cargo.toml reqwest | sed 's/.*[@#]//'",
        library: "cargo pkgid --manifest-path {clients}/rust/Cargo.toml rustls | sed 's/.*[@#]/rustls /'",
        command: "{clients}/rust/target/release/reqwest-get {ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "rust-ureq",
        version: "cargo pkgid --manifest-path {clients}/rust/Cargo.toml ureq | sed 's/.*[@#]//'",
        library: "cargo pkgid --manifest-path {clients}/rust/Cargo.toml rustls | sed 's/.*[@#]/rustls /'",
        command: "{clients}/rust/target/release/ureq-get {ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "java",
        version: "java -version 2>&1 | sed -n '1s/.*\"\\(.*\\)\".*/\\1/p'",
        library: "java -version 2>&1 | sed -n '1s/.*\"\\(.*\\)\".*/JSSE \\1/p'",
        command: "java {clients}/Get.java {ca} {url}",
        runs: RUNS,
    },
    Client {
        name: "chromium",
        version: "chromium --version 2> /dev/null | awk '{ print $2 }'",
        library: "echo BoringSSL",
        command: "chromium --headless=new --no-sandbox --disable-gpu --user-data-dir={dir} --ignore-certificate-errors --dump-dom {url}",
        runs: 8,
    },
    Client {
        name: "firefox",
        version: "firefox-esr --version 2> /dev/null | awk '{ print $3 }'",
        library: "echo NSS",
        command: "certutil -N -d sql:{dir} --empty-password && certutil -A -n capture -t C,, -i {ca} -d sql:{dir} && HOME={dir} firefox-esr --headless --profile {dir} --screenshot {dir}/page.png {url}",
        runs: RUNS,
    },
];
