//! Frames on a stream: a length of four bytes, big-endian, and as many bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads one frame. Returns `None` if the stream ends between two frames.
///
/// Memory grows with the bytes that arrive and not with the announced length.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if let Err(error) = stream.read_exact(&mut length).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(None)
        } else {
            Err(error)
        };
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        let message = format!("a frame of {length} bytes was announced; the limit is {limit}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut frame = Vec::with_capacity(length.min(64 << 10));
    stream.take(length as u64).read_to_end(&mut frame).await?;
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

/// Writes one frame, without flushing.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_and_bad_lengths_are_errors() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"one").await.unwrap();
        write(&mut bytes, b"").await.unwrap();
        let mut stream = bytes.as_slice();
        assert_eq!(
            read(&mut stream, 3).await.unwrap().as_deref(),
            Some(b"one".as_slice())
        );
        assert_eq!(
            read(&mut stream, 3).await.unwrap().as_deref(),
            Some(b"".as_slice())
        );
        assert_eq!(read(&mut stream, 3).await.unwrap(), None);
        assert!(read(&mut bytes.as_slice(), 2).await.is_err());
        assert!(read(&mut &bytes[..5], 3).await.is_err());
    }
}
