//! How far the changes of each database have been followed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::ShardNumber;

/// For each database the number of a change; 0 where none is named. As text
/// `number of the home`, then `,shard:number` for each other one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSeqs {
    seqs: BTreeMap<ShardNumber, i64>,
}

impl ChangeSeqs {
    #[must_use]
    pub fn of(&self, shard: ShardNumber) -> i64 {
        self.seqs.get(&shard).copied().unwrap_or(0)
    }

    /// Goes on to `seq`, never back.
    pub fn advance(&mut self, shard: ShardNumber, seq: i64) {
        let known = self.seqs.entry(shard).or_insert(0);
        *known = seq.max(*known);
    }

    /// True when everything up to `other` is within these.
    #[must_use]
    pub fn reach(&self, other: &ChangeSeqs) -> bool {
        other
            .seqs
            .iter()
            .all(|(shard, seq)| self.of(*shard) >= *seq)
    }

    /// The further of the two in each database.
    pub fn advance_to(&mut self, other: &ChangeSeqs) {
        for (shard, seq) in &other.seqs {
            self.advance(*shard, *seq);
        }
    }
}

impl fmt::Display for ChangeSeqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.of(ShardNumber::HOME))?;
        let others = self.seqs.iter().filter(|(s, _)| **s != ShardNumber::HOME);
        for (shard, seq) in others {
            write!(f, ",{shard}:{seq}")?;
        }
        Ok(())
    }
}

impl FromStr for ChangeSeqs {
    type Err = ();

    fn from_str(text: &str) -> Result<ChangeSeqs, ()> {
        let mut seqs = ChangeSeqs::default();
        for (place, part) in text.split(',').enumerate() {
            let (shard, seq) = match part.split_once(':') {
                None if place == 0 => (ShardNumber::HOME, part),
                None => return Err(()),
                Some((shard, seq)) => (ShardNumber(shard.parse().map_err(|_| ())?), seq),
            };
            seqs.advance(shard, seq.parse().map_err(|_| ())?);
        }
        Ok(seqs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_gives_back_what_it_was_made_of() {
        for text in ["0", "17", "17,1:3", "0,2:40,7:1"] {
            let seqs: ChangeSeqs = text.parse().unwrap();
            assert_eq!(seqs.to_string(), text);
        }
        for text in ["", "x", "1,2", "1,x:2", "1,2:"] {
            assert!(text.parse::<ChangeSeqs>().is_err(), "{text}");
        }
    }

    #[test]
    fn they_reach_what_is_within_them_in_every_database() {
        let [a, b]: [ChangeSeqs; 2] = ["5,1:3", "5"].map(|text| text.parse().unwrap());
        assert!(a.reach(&b) && !b.reach(&a));
        assert!(a.reach(&ChangeSeqs::default()));
        let mut both = b.clone();
        both.advance_to(&a);
        assert_eq!(both, a);
    }
}
