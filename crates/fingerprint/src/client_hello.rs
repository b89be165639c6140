//! The `ClientHello`: what a TLS client offers, kept raw and in order. Parsed of each signal that has one; JA3 and JA4
//! are made of it.

use crate::alpn::ProtocolNames;
use crate::error::Error;
use crate::reader::Reader;
use crate::tls_records::client_hello_message;

/// Most cipher suites accepted in one `ClientHello`.
pub const MAX_CIPHERS: usize = 256;
/// Most extensions accepted in one `ClientHello`; also the bound of every list in them but that of point formats, which
/// is kept as the bytes it came in.
pub const MAX_EXTENSIONS: usize = 128;

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const ALPN: u16 = 16;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
const QUIC_TRANSPORT_PARAMETERS: u16 = 57;

/// What a hello travelled over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TLS records, or a bare message without QUIC's extension.
    Tcp,
    /// A bare message with `quic_transport_parameters`, which RFC 9001, 8.2 allows in QUIC only.
    Quic,
}

/// The fields of a `ClientHello` that fingerprints are made of.
///
/// Values are as they were sent: unknown ones and GREASE included, in their order. The server's
/// name, the random, the session and the key shares are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientHello {
    /// What it travelled over.
    pub transport: Transport,
    /// `legacy_version` of the message; 0x0303 for TLS 1.2 and 1.3.
    pub legacy_version: u16,
    /// Cipher suites, at most [`MAX_CIPHERS`].
    pub ciphers: Vec<u16>,
    /// Types of the extensions, at most [`MAX_EXTENSIONS`]. RFC 8446, 4.2 allows each once only; who sends one twice says
    /// so about itself, and the lists of the two are joined.
    pub extensions: Vec<u16>,
    /// `supported_groups` (10).
    pub groups: Vec<u16>,
    /// `ec_point_formats` (11).
    pub point_formats: Vec<u8>,
    /// `signature_algorithms` (13).
    pub signature_algorithms: Vec<u16>,
    /// Protocol names of ALPN (16).
    pub alpn: ProtocolNames,
    /// `supported_versions` (43).
    pub supported_versions: Vec<u16>,
}

impl ClientHello {
    /// Parses a first flight: TLS records, the message cut over as many as it likes, or a bare
    /// handshake message. Early data may follow in records of its own and is not read.
    ///
    /// Lists that a server would refuse as empty, and extensions without the list they are made of, are accepted, since
    /// JA4 says what they come to. What is kept takes no more room than it took in `bytes`; a message cut over records is
    /// put together once more.
    ///
    /// # Errors
    /// `ERR_CLIENT_HELLO_TRUNCATED`, `_NOT_TLS`, `_TOO_LARGE`, `_TOO_MANY` or `_MALFORMED`; the
    /// message says what was at which byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let message = client_hello_message(bytes)?;
        let mut reader = Reader::new(&message.bytes, 0);
        reader.take(4, "the message header")?;
        let mut hello = Self {
            transport: Transport::Tcp,
            legacy_version: reader.u16("legacy_version")?,
            ciphers: Vec::new(),
            extensions: Vec::new(),
            groups: Vec::new(),
            point_formats: Vec::new(),
            signature_algorithms: Vec::new(),
            alpn: ProtocolNames::default(),
            supported_versions: Vec::new(),
        };
        reader.take(32, "random")?;
        let session = reader.block8("legacy_session_id")?;
        if session.bytes().len() > 32 {
            return Err(session.malformed("legacy_session_id is longer than 32 bytes"));
        }
        let ciphers = reader.block16("cipher_suites")?;
        ciphers.u16_values_into(&mut hello.ciphers, MAX_CIPHERS, "cipher_suites")?;
        reader.block8("legacy_compression_methods")?;
        if !reader.is_empty() {
            let mut extensions = reader.block16("extensions")?;
            reader.end("the extensions")?;
            while !extensions.is_empty() {
                hello.extension(&mut extensions)?;
            }
        }
        if !message.in_records {
            hello.transport = transport_of(&hello.extensions);
        }
        Ok(hello)
    }

    /// Whether the client named the server (`server_name`, extension 0).
    #[must_use]
    pub fn has_sni(&self) -> bool {
        self.extensions.contains(&SERVER_NAME)
    }

    fn extension(&mut self, extensions: &mut Reader<'_>) -> Result<(), Error> {
        let start = *extensions;
        if self.extensions.len() == MAX_EXTENSIONS {
            return Err(start.too_many(MAX_EXTENSIONS, "extensions"));
        }
        let kind = extensions.u16("an extension's type")?;
        self.extensions.push(kind);
        let mut body = extensions.block16("an extension")?;
        if body.is_empty() {
            return Ok(());
        }
        match kind {
            SUPPORTED_GROUPS => {
                let values = body.block16("supported_groups")?;
                values.u16_values_into(&mut self.groups, MAX_EXTENSIONS, "supported_groups")?;
                body.end("supported_groups")
            }
            EC_POINT_FORMATS => {
                let values = body.block8("ec_point_formats")?.bytes();
                self.point_formats.extend_from_slice(values);
                body.end("ec_point_formats")
            }
            SIGNATURE_ALGORITHMS => {
                let values = body.block16("signature_algorithms")?;
                values.u16_values_into(&mut self.signature_algorithms, MAX_EXTENSIONS, "signature_algorithms")?;
                body.end("signature_algorithms")
            }
            ALPN => {
                let mut names = body.block16("ALPN")?;
                while !names.is_empty() {
                    if self.alpn.iter().count() == MAX_EXTENSIONS {
                        return Err(names.too_many(MAX_EXTENSIONS, "ALPN"));
                    }
                    self.alpn.push(names.block8("an ALPN name")?.bytes());
                }
                body.end("ALPN")
            }
            SUPPORTED_VERSIONS => {
                let values = body.block8("supported_versions")?;
                values.u16_values_into(&mut self.supported_versions, MAX_EXTENSIONS, "supported_versions")?;
                body.end("supported_versions")
            }
            _ => Ok(()),
        }
    }
}

/// The transport of a hello seen without records, by its extensions.
pub(crate) fn transport_of(extensions: &[u16]) -> Transport {
    if extensions.contains(&QUIC_TRANSPORT_PARAMETERS) {
        Transport::Quic
    } else {
        Transport::Tcp
    }
}
