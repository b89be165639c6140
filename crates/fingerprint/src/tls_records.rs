//! From bytes off the wire to one handshake message, over as many TLS records as it takes: the first step of parsing a
//! `ClientHello`.

use std::borrow::Cow;

use crate::error::{Error, ErrorCode};

/// Longest `ClientHello` accepted, in bytes, handshake header included.
pub const MAX_CLIENT_HELLO: usize = 16 * 1024;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const CONTENT_CHANGE_CIPHER_SPEC: u8 = 0x14;
const CONTENT_HANDSHAKE: u8 = 0x16;
const CONTENT_APPLICATION_DATA: u8 = 0x17;
const CLIENT_HELLO: u8 = 0x01;

/// Longest first flight accepted, in bytes. Record headers may double a message cut into small pieces; beyond that the
/// cutting is the point.
pub(crate) const MAX_FLIGHT: usize = 2 * MAX_CLIENT_HELLO;

/// A handshake message with its four-byte header, and whether it came in TLS records.
pub(crate) struct Message<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) in_records: bool,
}

/// Finds the `ClientHello` in TLS records or as a bare handshake message.
pub(crate) fn client_hello_message(input: &[u8]) -> Result<Message<'_>, Error> {
    if input.len() > MAX_FLIGHT {
        return Err(too_large(input.len()));
    }
    match input {
        [] => Err(truncated(0, 1, 0)),
        [CONTENT_HANDSHAKE, ..] => from_records(input),
        [CLIENT_HELLO, ..] => bare(input),
        _ => Err(not_tls(input)),
    }
}

fn bare(input: &[u8]) -> Result<Message<'_>, Error> {
    let length = message_length(input)?.ok_or_else(|| truncated(input.len(), MESSAGE_HEADER, 0))?;
    if input.len() < length {
        return Err(truncated(input.len(), length, 0));
    }
    if input.len() > length {
        return Err(Error::new(
            ErrorCode::ClientHelloMalformed,
            format!("{} bytes follow the message, at byte {length}", input.len() - length),
        ));
    }
    Ok(Message {
        bytes: Cow::Borrowed(input),
        in_records: false,
    })
}

fn from_records(input: &[u8]) -> Result<Message<'_>, Error> {
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut offset = 0;
    let mut length = None;
    while length.is_none_or(|length| message.len() < length) {
        let fragment = record(input, offset)?;
        offset += RECORD_HEADER + fragment.len();
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            // The rest of the input bounds what a length may ask for.
            let room = input.len().min(length.unwrap_or(0)).saturating_sub(message.len());
            let message = message.to_mut();
            message.reserve_exact(room);
            message.extend_from_slice(fragment);
        }
        if message[0] != CLIENT_HELLO {
            return Err(Error::new(
                ErrorCode::ClientHelloNotTls,
                format!(
                    "handshake type {:#04x} is not a ClientHello (0x01), at byte {RECORD_HEADER}",
                    message[0]
                ),
            ));
        }
        length = message_length(&message)?;
    }
    let length = length.unwrap_or_default();
    if message.len() > length {
        return Err(Error::new(
            ErrorCode::ClientHelloMalformed,
            format!("{} bytes follow the message in its record", message.len() - length),
        ));
    }
    // A first flight may go on with early data (RFC 8446, 4.2.10); nothing else may follow.
    match input.get(offset) {
        None | Some(&(CONTENT_CHANGE_CIPHER_SPEC | CONTENT_APPLICATION_DATA)) => Ok(Message {
            bytes: message,
            in_records: true,
        }),
        Some(other) => Err(Error::new(
            ErrorCode::ClientHelloMalformed,
            format!("content type {other:#04x} follows the ClientHello, at byte {offset}"),
        )),
    }
}

/// The fragment of the handshake record at `offset`.
fn record(input: &[u8], offset: usize) -> Result<&[u8], Error> {
    let rest = &input[offset..];
    let Some((&[kind, major, _, high, low], body)) = rest.split_first_chunk::<RECORD_HEADER>() else {
        return Err(truncated(input.len(), RECORD_HEADER, offset));
    };
    if kind != CONTENT_HANDSHAKE || major != 3 {
        let code = if offset == 0 {
            ErrorCode::ClientHelloNotTls
        } else {
            ErrorCode::ClientHelloMalformed
        };
        return Err(Error::new(
            code,
            format!("record of type {kind:#04x}, version {major}, is not a TLS handshake record, at byte {offset}"),
        ));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 {
        // RFC 8446, 5.1: handshake fragments of length zero must not be sent.
        return Err(Error::new(
            ErrorCode::ClientHelloMalformed,
            format!("record is empty, at byte {offset}"),
        ));
    }
    if length > MAX_CLIENT_HELLO {
        return Err(too_large(length));
    }
    body.get(..length)
        .ok_or_else(|| truncated(input.len(), RECORD_HEADER + length, offset))
}

/// The declared length of the message, header included, once its header is there.
fn message_length(message: &[u8]) -> Result<Option<usize>, Error> {
    let Some(&[_, high, middle, low]) = message.first_chunk::<MESSAGE_HEADER>() else {
        return Ok(None);
    };
    let length = MESSAGE_HEADER + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
    if length > MAX_CLIENT_HELLO {
        return Err(too_large(length));
    }
    Ok(Some(length))
}

fn truncated(have: usize, needed: usize, offset: usize) -> Error {
    Error::new(
        ErrorCode::ClientHelloTruncated,
        format!("input ends at byte {have}; {needed} bytes are needed from byte {offset}"),
    )
}

fn too_large(length: usize) -> Error {
    Error::new(
        ErrorCode::ClientHelloTooLarge,
        format!("{length} bytes; a ClientHello may have {MAX_CLIENT_HELLO}"),
    )
}

fn not_tls(input: &[u8]) -> Error {
    let what = match input {
        [first, _, CLIENT_HELLO, ..] if first & 0x80 != 0 => "an SSLv2-style hello",
        [b'A'..=b'Z', b'A'..=b'Z', b'A'..=b'Z', ..] => "text, perhaps plain HTTP",
        _ => "neither a TLS record (0x16) nor a bare ClientHello (0x01)",
    };
    Error::new(
        ErrorCode::ClientHelloNotTls,
        format!("starts with {:#04x}: {what}, at byte 0", input[0]),
    )
}
