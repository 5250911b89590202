//! Collective calls for numbers, byte strings and flags, built on those for tensors.

use tch::Tensor;

use crate::signature::{Operation, PAYLOAD, Signature};
use crate::{GroupError, ProcessGroup};

impl ProcessGroup {
    /// Gathers four numbers from each rank, in rank order and in a single exchange.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_gather_numbers(&self, own: [f64; PAYLOAD]) -> Result<Vec<[f64; PAYLOAD]>, GroupError> {
        let signature = Signature::new(Operation::Numbers, None, own);
        let all = self.exchange(signature)?;
        Ok(all.into_iter().map(|signature| signature.payload).collect())
    }

    /// Gathers a byte string of any length from each rank, in rank order.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_gather_bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, GroupError> {
        let lengths = self.all_gather_numbers([own.len() as f64, 0.0, 0.0, 0.0])?;
        let lengths: Vec<usize> = lengths.iter().map(|numbers| numbers[0] as usize).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest == 0 {
            return Ok(vec![Vec::new(); lengths.len()]);
        }
        let mut padded = own.to_vec();
        padded.resize(longest, 0);
        let all = self.all_gather(&self.local(|| Ok(Tensor::f_from_slice(&padded)?))?)?;
        let bytes = |(tensor, length): (&Tensor, &usize)| {
            let mut bytes = vec![0; longest];
            self.local(|| Ok(tensor.f_copy_data(&mut bytes, longest)?))?;
            bytes.truncate(*length);
            Ok(bytes)
        };
        all.iter().zip(&lengths).map(bytes).collect()
    }

    /// Returns the bytes that rank `root` passes; those of other ranks are ignored.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn broadcast_bytes(&self, own: &[u8], root: usize) -> Result<Vec<u8>, GroupError> {
        let lengths = self.all_gather_numbers([own.len() as f64, 0.0, 0.0, 0.0])?;
        let length = lengths.get(root).map_or(0, |numbers| numbers[0] as usize);
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = if self.rank() == root {
            own.to_vec()
        } else {
            vec![0; length]
        };
        let tensor = self.local(|| Ok(Tensor::f_from_slice(&bytes)?))?;
        self.broadcast(&tensor, root)?;
        self.local(|| Ok(tensor.f_copy_data(&mut bytes, length)?))?;
        Ok(bytes)
    }

    /// Returns whether any rank passes `true`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn any(&self, own: bool) -> Result<bool, GroupError> {
        let all = self.all_gather_numbers([f64::from(u8::from(own)), 0.0, 0.0, 0.0])?;
        Ok(all.iter().any(|numbers| numbers[0] != 0.0))
    }
}
