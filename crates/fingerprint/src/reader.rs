//! A cursor over one TLS structure that names what it could not read, and where, for the parser of a `ClientHello`.

use crate::error::{Error, ErrorCode};

/// Bytes of one structure, and their offset in the handshake message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize, what: &str) -> Result<Self, Error> {
        let Some((taken, rest)) = self.bytes.split_at_checked(length) else {
            return Err(self.malformed(&format!("{what} takes {length} bytes, {} are left", self.bytes.len())));
        };
        let block = Self::new(taken, self.offset);
        self.bytes = rest;
        self.offset += length;
        Ok(block)
    }

    fn integer(&mut self, width: usize, what: &str) -> Result<u16, Error> {
        let block = self.take(width, what)?;
        Ok(block.bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, Error> {
        self.integer(2, what)
    }

    /// A block behind its own one-byte length.
    pub(crate) fn block8(&mut self, what: &str) -> Result<Self, Error> {
        let length = self.integer(1, what)?;
        self.take(usize::from(length), what)
    }

    /// A block behind its own two-byte length.
    pub(crate) fn block16(&mut self, what: &str) -> Result<Self, Error> {
        let length = self.integer(2, what)?;
        self.take(usize::from(length), what)
    }

    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Adds the rest as two-byte values to `values`, which may hold `limit` then.
    pub(crate) fn u16_values_into(self, values: &mut Vec<u16>, limit: usize, what: &str) -> Result<(), Error> {
        let (pairs, odd) = self.bytes.as_chunks::<2>();
        if values.len() + pairs.len() > limit {
            return Err(self.too_many(limit, what));
        }
        if !odd.is_empty() {
            return Err(self.malformed(&format!("{what} has an odd length, {}", self.bytes.len())));
        }
        values.reserve_exact(pairs.len());
        values.extend(pairs.iter().map(|pair| u16::from_be_bytes(*pair)));
        Ok(())
    }

    /// Refuses what is left over.
    pub(crate) fn end(self, what: &str) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.malformed(&format!("{} bytes follow {what}", self.bytes.len())))
    }

    pub(crate) fn malformed(&self, message: &str) -> Error {
        Error::new(
            ErrorCode::ClientHelloMalformed,
            format!("{message}, at byte {} of the handshake message", self.offset),
        )
    }

    pub(crate) fn too_many(&self, limit: usize, what: &str) -> Error {
        Error::new(
            ErrorCode::ClientHelloTooMany,
            format!(
                "{what} has more than {limit} values, at byte {} of the handshake message",
                self.offset
            ),
        )
    }
}
