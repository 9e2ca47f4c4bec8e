//! Collections of named items, sorted by name and without duplicates.

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Item whose name is unique in its collection.
pub trait Named {
    /// Name of the item.
    fn name(&self) -> &str;
}

/// Items sorted by name, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T>(Vec<T>);

/// Error: two items have this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASet(pub String);

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Named> Set<T> {
    /// Creates a set from items in any order. Fails if two of them have the same name.
    pub fn new(mut items: Vec<T>) -> Result<Self, NotASet> {
        items.sort_by(|a, b| a.name().cmp(b.name()));
        match items
            .windows(2)
            .find(|pair| pair[0].name() == pair[1].name())
        {
            Some(pair) => Err(NotASet(pair[0].name().to_owned())),
            None => Ok(Self(items)),
        }
    }

    /// Item with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.position(name).map(|index| &self.0[index])
    }

    /// Index of the item with this name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|item| item.name().cmp(name)).ok()
    }
}

impl<T> Set<T> {
    /// Iterates over the items in the order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Iterates over the items in the order of their names. Callers must not change names.
    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Converts the set to a list that is sorted by name.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// True if the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'s, T> IntoIterator for &'s Set<T> {
    type Item = &'s T;
    type IntoIter = std::slice::Iter<'s, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> std::ops::Index<usize> for Set<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.0[index]
    }
}

impl<C, T: Encode<C>> Encode<C> for Set<T> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        cx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, cx)
    }
}

impl<'b, C, T: Decode<'b, C> + Named> Decode<'b, C> for Set<T> {
    fn decode(d: &mut Decoder<'b>, cx: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? != Type::Array {
            return Err(minicbor::decode::Error::message("a set must be an array"));
        }
        let items: Vec<T> = Decode::decode(d, cx)?;
        if items.windows(2).all(|pair| pair[0].name() < pair[1].name()) {
            Ok(Self(items))
        } else {
            Err(minicbor::decode::Error::message(
                "a set must be sorted and have unique names",
            ))
        }
    }
}
