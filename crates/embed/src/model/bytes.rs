//! Where the bytes of a model live, and bounds-checked reading of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::ModelError;

/// A model file in memory: compiled in, or mapped so that its pages stay
/// clean, shared and out of the heap.
#[derive(Debug)]
pub(crate) enum ModelBytes {
    Static(&'static [u8]),
    Mapped(memmap2::Mmap),
}

impl ModelBytes {
    #[expect(unsafe_code, reason = "mapping a file has no safe interface")]
    pub(crate) fn map(path: &Path) -> Result<ModelBytes, ModelError> {
        let file = File::open(path)
            .map_err(|e| ModelError::io(format!("open model file {}", path.display()), e))?;
        // SAFETY: the map is read-only and private. Model files are replaced by
        // renaming a new file over the name (see `install`), never rewritten in
        // place, so the mapped inode does not change under us.
        let map = unsafe { memmap2::Mmap::map(&file) }
            .map_err(|e| ModelError::io(format!("map model file {}", path.display()), e))?;
        Ok(ModelBytes::Mapped(map))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            ModelBytes::Static(bytes) => bytes,
            ModelBytes::Mapped(map) => map,
        }
    }
}

/// Feeds a file to `take` in pieces, through a small buffer: hashing through
/// the map would make every page of it resident.
pub(crate) fn read_in_pieces(path: &Path, mut take: impl FnMut(&[u8])) -> Result<u64, ModelError> {
    let fail = |e| ModelError::io(format!("read model file {}", path.display()), e);
    let mut file = File::open(path).map_err(fail)?;
    let mut buffer = vec![0u8; 1 << 18];
    let mut total = 0u64;
    loop {
        let got = file.read(&mut buffer).map_err(fail)?;
        if got == 0 {
            return Ok(total);
        }
        total += got as u64;
        take(&buffer[..got]);
    }
}

/// A reading position that reports a short file instead of panicking.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], ModelError> {
        let end = self.at.checked_add(count);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or_else(|| {
            ModelError::corrupt(format!(
                "model file ends at byte {} but needs {count} more from byte {}",
                self.bytes.len(),
                self.at
            ))
        })?;
        self.at += count;
        Ok(part)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ModelError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ModelError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, ModelError> {
        self.array().map(f32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let part = self.take(N)?;
        Ok(part.try_into().expect("bug: take returned another length"))
    }
}
