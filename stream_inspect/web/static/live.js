// The stream of live pictures of all cameras: length (4 bytes, big-endian), JSON, JPEG, repeated.

export async function* readPictures(url, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new Error(answer.statusText);
  const bytes = new Bytes(answer.body.getReader());
  for (;;) {
    const length = await bytes.take(4);
    if (!length) return;
    const head = await bytes.take(new DataView(length.buffer, length.byteOffset).getUint32(0));
    const part = JSON.parse(new TextDecoder().decode(head));
    if (part.bytes) part.jpeg = await bytes.take(part.bytes);
    yield part;
  }
}

class Bytes {
  constructor(reader) {
    this.reader = reader;
    this.chunks = [];
    this.size = 0;
  }

  // The next `count` bytes; null at the end of the stream.
  async take(count) {
    while (this.size < count) {
      const { done, value } = await this.reader.read();
      if (done) return null;
      this.chunks.push(value);
      this.size += value.length;
    }
    const taken = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const chunk = this.chunks[0];
      const part = chunk.subarray(0, count - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) this.chunks.shift();
      else this.chunks[0] = chunk.subarray(part.length);
    }
    this.size -= count;
    return taken;
  }
}
