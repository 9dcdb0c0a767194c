//! Random bits from the system, for what must not be guessed or met twice.

use anyhow::{Context, Result};
use rustix::rand::{GetRandomFlags, getrandom};

pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())
            .context("read random bits from the system")?;
    }
    Ok(bytes)
}
