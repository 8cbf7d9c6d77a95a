// Writes each finished test as a line of JSON, for the Go test that started them.
export default async function* reporter(source) {
  for await (const { type, data } of source) {
    if (type === 'test:pass' || type === 'test:fail') {
      const err = data.details?.error;
      const why = type === 'test:fail' ? String(err?.cause?.stack ?? err?.cause ?? err) : '';
      yield JSON.stringify({ ok: type === 'test:pass', name: data.name, depth: data.nesting, suite: data.details?.type === 'suite', file: data.file ?? '', skipped: data.skip !== undefined, why }) + '\n';
    } else if (type === 'test:stderr' || type === 'test:stdout') {
      yield JSON.stringify({ said: data.message }) + '\n';
    }
  }
}
