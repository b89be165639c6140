//! A TLS server on 127.0.0.1 that keeps what a client sends first.

use std::io::{Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tollkeeper_fingerprint::{ClientHello, ErrorCode};

use crate::http2;

/// What one connection showed.
pub struct Seen {
    /// The bytes of the `ClientHello`, in their TLS records.
    pub hello: Vec<u8>,
    /// Akamai's HTTP/2 fingerprint, if the client spoke HTTP/2.
    pub akamai: Option<String>,
    /// The first request's headers in order, names in lower case; `None` if there was no request.
    pub headers: Option<Vec<(String, String)>>,
}

/// An authority made for this run, and the server's configuration under it.
pub struct Authority {
    pub pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Result<Self> {
        let mut root = CertificateParams::new(Vec::new())?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A leaf whose subject is its issuer's would pass for self-signed.
        root.distinguished_name.push(DnType::CommonName, "capture authority");
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &root)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            pem: root.pem(),
            config: Arc::new(config),
        })
    }

    /// Serves for as long as the process lives, sending what each connection showed.
    pub fn serve(&self, listener: &TcpListener, seen: &Sender<Seen>) {
        for stream in listener.incoming().flatten() {
            let (config, seen) = (Arc::clone(&self.config), seen.clone());
            std::thread::spawn(move || match watch(stream, config) {
                // The driver may have gone on to the next client.
                Ok(connection) => drop(seen.send(connection)),
                Err(error) => eprintln!("  connection: {error:#}"),
            });
        }
    }
}

fn watch(mut stream: TcpStream, config: Arc<ServerConfig>) -> Result<Seen> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let hello = first_flight(&mut stream)?;
    let mut seen = Seen {
        hello: hello.clone(),
        akamai: None,
        headers: None,
    };
    let replayed = Replayed {
        first: Cursor::new(hello),
        stream,
    };
    let mut tls = StreamOwned::new(ServerConnection::new(config)?, replayed);
    // A client that leaves after the handshake, or refuses it, has still said hello.
    if let Err(error) = request(&mut tls, &mut seen) {
        eprintln!("  no request: {error:#}");
    }
    Ok(seen)
}

fn first_flight(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            bail!("closed after {} bytes", bytes.len());
        }
        bytes.extend_from_slice(&chunk[..count]);
        match ClientHello::parse(&bytes) {
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() == ErrorCode::ClientHelloTruncated => {}
            Err(error) => return Err(error).context("first flight"),
        }
    }
}

fn request(tls: &mut (impl Read + Write), seen: &mut Seen) -> Result<()> {
    let mut start = [0; 24];
    tls.read_exact(&mut start)?;
    if &start == http2::PREFACE {
        let opening = http2::read_opening(tls)?;
        seen.akamai = Some(opening.akamai);
        seen.headers = Some(opening.headers);
        return Ok(());
    }
    let mut head = start.to_vec();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let lower = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.trim().to_owned());
    seen.headers = Some(fields.map(lower).collect());
    tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    tls.flush()?;
    Ok(())
}

/// The stream again, from its first byte.
struct Replayed {
    first: Cursor<Vec<u8>>,
    stream: TcpStream,
}

impl Read for Replayed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.first.read(buffer)? {
            0 => self.stream.read(buffer),
            count => Ok(count),
        }
    }
}

impl Write for Replayed {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}
