"""The functions that a program as JavaScript calls: of arrays, whose elements lie row after row, and of numbers."""

from __future__ import annotations

from collections.abc import Mapping

FUNCTIONS: Mapping[str, str] = {
    "square": "const square = (x) => x * x;",
    "sigmoid": """// 1 / (1 + exp(-z)); exp of what is not positive never overflows.
const sigmoid = (z) => {
  const e = Math.exp(-Math.abs(z));
  return (z >= 0 ? 1 : e) / (1 + e);
};""",
    "softplus": """// log(1 + exp(z))
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));""",
    "erf": """// The error function: its series about 0, 1 - erfc(x) beyond.
const erf = (x) => {
  if (Math.abs(x) > 2) return x > 0 ? 1 - erfc(x) : erfc(-x) - 1;
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= -x * x / n;
    sum += term / (2 * n + 1);
  }
  return sum * 2 / Math.sqrt(Math.PI);
};""",
    "erfc": """// 1 - erf(x): a continued fraction where x is large (Abramowitz and Stegun, 7.1.14).
const erfc = (x) => {
  if (x < 2) return 1 - erf(x);
  let below = x;
  for (let n = 120; n > 0; n--) below = x + n / 2 / below;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / below;
};""",
    "each": """// An array of so many elements, element k being f(k).
const each = (count, f) => {
  const result = new Float64Array(count);
  for (let k = 0; k < count; k++) result[k] = f(k);
  return result;
};""",
    "transpose": """const transpose = (A, rows, columns) => {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = A[i * columns + j];
  return result;
};""",
    "matmul": """// A B, of shapes (rows, inner) and (inner, columns).
const matmul = (A, B, rows, inner, columns) => {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let k = 0; k < inner; k++) {
    const a = A[i * inner + k];
    for (let j = 0, b = k * columns, c = i * columns; j < columns; j++, b++, c++) result[c] += a * B[b];
  }
  return result;
};""",
    "sumAll": """// The sum of f(k) over so many k.
const sumAll = (count, f) => {
  let sum = 0;
  for (let k = 0; k < count; k++) sum += f(k);
  return sum;
};""",
    "maxAll": """const maxAll = (count, f) => {
  let largest = -Infinity;
  for (let k = 0; k < count; k++) largest = Math.max(largest, f(k));
  return largest;
};""",
    "sumRows": """// The sums of f(k), k = i * columns + j, over the rows i.
const sumRows = (rows, columns, f) => {
  const result = new Float64Array(columns);
  for (let i = 0, k = 0; i < rows; i++) for (let j = 0; j < columns; j++, k++) result[j] += f(k);
  return result;
};""",
    "maxRows": """const maxRows = (rows, columns, f) => {
  const result = new Float64Array(columns).fill(-Infinity);
  for (let i = 0, k = 0; i < rows; i++) for (let j = 0; j < columns; j++, k++) result[j] = Math.max(result[j], f(k));
  return result;
};""",
    "sumColumns": """// The sums of f(k), k = i * columns + j, over the columns j.
const sumColumns = (rows, columns, f) => {
  const result = new Float64Array(rows);
  for (let i = 0, k = 0; i < rows; i++) for (let j = 0; j < columns; j++, k++) result[i] += f(k);
  return result;
};""",
    "maxColumns": """const maxColumns = (rows, columns, f) => {
  const result = new Float64Array(rows).fill(-Infinity);
  for (let i = 0, k = 0; i < rows; i++) for (let j = 0; j < columns; j++, k++) result[i] = Math.max(result[i], f(k));
  return result;
};""",
    "rowsNamed": """// The rows of a table that the tokens (samples, places) name, -1 for none.
// column: of one place only; starts: each place's first row; padding: the token that names none.
const rowsNamed = (tokens, places, { column = null, starts = [], padding = null }) => {
  const rows = [];
  for (let k = 0; k < tokens.length; k++) {
    const place = k % places, token = Number(tokens[k]);
    if (column === null || place === column) rows.push(token === padding ? -1 : token + (starts[place] ?? 0));
  }
  return rows;
};""",
    "gather": """// Those rows of the table, so many for a sample, side by side; or added up.
const gather = (table, width, rows, count, added) => {
  const result = new Float64Array(rows.length / (added ? count : 1) * width);
  rows.forEach((row, k) => {
    const first = (added ? Math.floor(k / count) : k) * width;
    for (let j = 0; j < width && row >= 0; j++) result[first + j] += table[row * width + j];
  });
  return result;
};""",
    "scatterAdd": """// The pieces of each row of a table, added up; a sample's one piece to each of its rows.
const scatterAdd = (size, width, pieces, rows, count, added) => {
  const result = new Float64Array(size * width);
  rows.forEach((row, k) => {
    const first = (added ? Math.floor(k / count) : k) * width;
    for (let j = 0; j < width && row >= 0; j++) result[row * width + j] += pieces[first + j];
  });
  return result;
};""",
    "atRows": """// f(k) for the elements k of the rows that are named, those of the table elsewhere.
const atRows = (table, width, rows, f) => {
  const result = Float64Array.from(table);
  for (const row of new Set(rows)) {
    for (let k = row * width; row >= 0 && k < (row + 1) * width; k++) result[k] = f(k);
  }
  return result;
};""",
    "mask": """// 1 with probability 1 - rate, else 0: counted random bits (Philox 4x32-10).
const mask = (rate, seed, step, stream, rows, columns) => {
  const times = (a, b) => { // the high and the low 32 bits
    const low = (a & 0xffff) * (b & 0xffff), middle = (a >>> 16) * (b & 0xffff) + (low >>> 16);
    const other = (a & 0xffff) * (b >>> 16) + middle % 65536;
    return [(a >>> 16) * (b >>> 16) + Math.floor(middle / 65536) + Math.floor(other / 65536), Math.imul(a, b) >>> 0];
  };
  const words = [seed, step, stream].map((x) => BigInt.asUintN(64, BigInt(x)));
  const [low, high] = [words[0], words[0] >> 32n].map((x) => Number(x & 0xffffffffn));
  const [now, which] = words.slice(1).map((x) => Number(x & 0xffffffffn));
  const least = Math.floor(rate * 2 ** 32), result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j += 4) {
    let c = [i, j / 4, now, which], key0 = low, key1 = high;
    for (let round = 0; round < 10; round++) {
      const [high0, low0] = times(c[0], 0xd2511f53), [high1, low1] = times(c[2], 0xcd9e8d57);
      c = [(high1 ^ c[1] ^ key0) >>> 0, low1, (high0 ^ c[3] ^ key1) >>> 0, low0];
      key0 = (key0 + 0x9e3779b9) >>> 0;
      key1 = (key1 + 0xbb67ae85) >>> 0;
    }
    for (let n = 0; n < 4 && j + n < columns; n++) result[i * columns + j + n] = c[n] >= least ? 1 : 0;
  }
  return result;
};""",
    "oneHot": """const oneHot = (labels, classes) => {
  const result = new Float64Array(labels.length * classes);
  for (let i = 0; i < labels.length; i++) {
    const label = Number(labels[i]);
    if (label >= 0 && label < classes) result[i * classes + label] = 1;
  }
  return result;
};""",
    "beside": """// Arrays [A, its first column, its columns] side by side, 0 in columns that none of them covers.
const beside = (rows, width, parts) => {
  const result = new Float64Array(rows * width);
  for (const [A, start, count] of parts) {
    for (let k = 0; k < rows * count; k++) result[Math.floor(k / count) * width + start + k % count] = A[k];
  }
  return result;
};""",
    "columns": """const columns = (A, width, start, count) => {
  const result = new Float64Array(A.length / width * count);
  for (let k = 0; k < result.length; k++) result[k] = A[Math.floor(k / count) * width + start + k % count];
  return result;
};""",
    "groups": """// A W for each group of columns of A, W (a, b) being its own or that of all.
const groups = (A, W, rows, count, a, b, shared) => {
  const result = new Float64Array(rows * count * b);
  for (let n = 0; n < rows * count; n++) for (let k = 0; k < a; k++) for (let j = 0; j < b; j++) {
    result[n * b + j] += A[n * a + k] * W[((shared ? 0 : n % count * a) + k) * b + j];
  }
  return result;
};""",
    "groupsBack": """// D Wᵀ for each group of columns of D.
const groupsBack = (D, W, rows, count, a, b, shared) => {
  const result = new Float64Array(rows * count * a);
  for (let n = 0; n < rows * count; n++) for (let k = 0; k < a; k++) for (let j = 0; j < b; j++) {
    result[n * a + k] += D[n * b + j] * W[((shared ? 0 : n % count * a) + k) * b + j];
  }
  return result;
};""",
    "groupsWeights": """// Aᵀ D for each group, below each other, or added up.
const groupsWeights = (A, D, rows, count, a, b, shared) => {
  const result = new Float64Array((shared ? 1 : count) * a * b);
  for (let n = 0; n < rows * count; n++) for (let k = 0; k < a; k++) for (let j = 0; j < b; j++) {
    result[((shared ? 0 : n % count * a) + k) * b + j] += A[n * a + k] * D[n * b + j];
  }
  return result;
};""",
    "repeat": """// A so many times side by side, or each of its columns.
const repeat = (A, width, times, within) => {
  const wide = width * times;
  const own = (k) => (within ? Math.floor(k % wide / times) : k % width);
  return each(A.length * times, (k) => A[Math.floor(k / wide) * width + own(k)]);
};""",
    "foldGroups": """// The sum or the largest of the groups of columns of A, or of the columns within each.
const foldGroups = (A, count, width, within, fold) => {
  const kept = within ? count : width, folded = within ? width : count, rows = A.length / (count * width);
  return each(rows * kept, (k) => {
    const first = Math.floor(k / kept) * count * width, own = k % kept;
    let result = A[first + (within ? own * width : own)];
    for (let n = 1; n < folded; n++) result = fold(result, A[first + (within ? own * width + n : n * width + own)]);
    return result;
  });
};""",
}
"""By name, in an order in which each stands after those that it calls; erf and erfc call each other."""


def needed(code: str) -> list[str]:
    """The functions that the code calls, with those that they call, in order."""
    names: set[str] = set()
    waiting = [code]
    while waiting:
        text = waiting.pop()
        for name, function in FUNCTIONS.items():
            if name not in names and f"{name}(" in text:
                names.add(name)
                waiting.append(function)
    return [name for name in FUNCTIONS if name in names]
