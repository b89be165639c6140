//! Protocol names of ALPN (RFC 7301), kept as they were sent in a `ClientHello`.

/// Names in the client's order, each behind a byte that holds its length, as on the wire: so that many short names take
/// no more room than they came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProtocolNames {
    wire: Vec<u8>,
}

impl ProtocolNames {
    /// The names, first to last. A name is any 0 to 255 bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.wire.as_slice();
        std::iter::from_fn(move || {
            let (&length, behind) = rest.split_first()?;
            let (name, others) = behind.split_at_checked(usize::from(length))?;
            rest = others;
            Some(name)
        })
    }

    /// Adds a name; of one beyond 255 bytes, which no hello can hold, the first 255.
    pub(crate) fn push(&mut self, name: &[u8]) {
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.wire.reserve_exact(1 + usize::from(length));
        self.wire.push(length);
        self.wire.extend_from_slice(&name[..usize::from(length)]);
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ProtocolNames {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut list = Self::default();
        for name in names {
            list.push(name.as_ref());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_their_order() {
        let long = [b'x'; 255];
        let names = [&b"h2"[..], b"", b"http/1.1", &[0x0a, 0x0a], &long];
        let list: ProtocolNames = names.into_iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), names);
        assert_eq!(ProtocolNames::default().iter().count(), 0);
    }
}
