// Saves an answer as a file while it is read. Where the browser can write to a file, nothing of it
// is held in memory. An answer that ends too early is never taken for whole.
import { send, type Params } from "./http.ts";

/** What browsers with access to files offer; the types of TypeScript do not know it yet. */
type Picker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;

export interface Download {
  path: string;
  params: Params;
  /** Name of the file, if the user or the API gives no other. */
  fileName: string;
  signal: AbortSignal;
  /** Bytes so far. */
  onProgress: (bytes: number) => void;
}

/** Saves it and returns its size in bytes; null if the user chose no file. Throws if it failed. */
export async function download(wanted: Download): Promise<number | null> {
  const picker = (window as { showSaveFilePicker?: Picker }).showSaveFilePicker;
  if (picker === undefined) return intoMemory(wanted);
  let handle: FileSystemFileHandle;
  try {
    // Before the request: a browser allows it only right after a click.
    handle = await picker.call(window, { suggestedName: wanted.fileName });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return null;
    return intoMemory(wanted);
  }
  const body = await bodyOf(wanted);
  const file = await handle.createWritable();
  const meter = meterOf(wanted.onProgress);
  // Piping aborts the file if the answer breaks off: what was there before stays.
  await body.pipeThrough(meter.stream).pipeTo(file, { signal: wanted.signal });
  return meter.bytes();
}

async function bodyOf({ path, params, signal }: Download): Promise<ReadableStream<Uint8Array>> {
  const response = await send(path, { params, signal });
  if (response.body === null) throw new Error("an answer without a body");
  return response.body;
}

function meterOf(onProgress: (bytes: number) => void) {
  let bytes = 0;
  const stream = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>({
    transform: (piece, controller) => {
      bytes += piece.byteLength;
      onProgress(bytes);
      controller.enqueue(piece as Uint8Array<ArrayBuffer>);
    },
  });
  return { stream, bytes: () => bytes };
}

async function intoMemory(wanted: Download): Promise<number> {
  const body = await bodyOf(wanted);
  const meter = meterOf(wanted.onProgress);
  const blob = await new Response(body.pipeThrough(meter.stream)).blob();
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = wanted.fileName;
  link.click();
  // The browser has taken it over by then.
  setTimeout(() => { URL.revokeObjectURL(address); }, 60_000);
  return meter.bytes();
}
