"""A program that tries the engine's code for matrix tiles, on a processor that has them or on any other.

    python benchmarks/tiles_elsewhere.py PROGRAM      writes a Linux program that needs nothing else
    ./PROGRAM

It holds some calls of the compiled engine, steps of training and single products with ragged edges: the memory before
each, the machine code made for a processor with tiles (AMX), and the memory after it as vector code in the place of the
tiles' instructions leaves it here.  Run, it asks the system for the tiles, calls the code, and says of each whether all
bits are the same, how far numbers are off where they are not, and whether the tiles were released.  It ends with 0 if
all is well.

Where the processor has no tiles each of their instructions is an illegal one, and the program carries it out in the
signal's handler, from the bytes of the instruction and as its description has it (Intel, Software Developer's Manual,
vol. 2; the checks that make it illegal as well): shapes, addresses, strides, the configuration and its end are tried
so, the processor's own arithmetic and the system's permission are not.  Needed: a processor with AVX-512, gcc, ld and
objcopy.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import chainrule as cr
from chainrule.engines.base import Epoch
from chainrule.engines.compiled import call as calls
from chainrule.engines.compiled import pack
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.compiled.lower.program import lower
from chainrule.engines.compiled.plan import plan
from chainrule.engines.compiled.plan.memory import RUN, Word
from chainrule.engines.llvm import jit, target, team
from chainrule.engines.llvm.target import Target
from chainrule.program.precision import PRECISIONS
from chainrule.program.symbol import BATCH
from precision import FORMS, product

L1, L2 = 48 << 10, 2 << 20
"""Of a processor with tiles, Intel's of 2023."""
VECTORS = ("avx512f", "avx512vl", "avx512dq", "avx512bw", "avx512bf16")
PARTS = {**PRECISIONS, "three parts": 3}
"""Of each word."""
PLACE, ROOM = 0x2000_0000_0000, 64 << 20
"""Where the memory of a call lies, here and there."""


def machines() -> tuple[Target, Target]:
    """A processor with tiles, and this one with vector code in their place; alike in all that a plan asks for."""
    here = target.host()
    if here.vector_bytes != 64:
        raise SystemExit("vector code in the place of tiles needs AVX-512, which this processor has not")
    features = [f"+{name}" for name in (*VECTORS, "amx-tile", "amx-bf16") if name.startswith("amx") or name in here.on]
    there = target.described("x86_64-unknown-linux-gnu", "sapphirerapids", ",".join(features), l1=L1, l2=L2)
    return there, replace(here, l1=L1, l2=L2, tiles="emulated")


class Arena:
    """Memory at an address of our choice, from which the engine takes all that machine code is given."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100000  # MAP_FIXED_NOREPLACE
        if library.mmap(PLACE, ROOM, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) != PLACE:
            raise SystemExit(f"no memory at {PLACE:#x}")
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * ROOM).from_address(PLACE))
        self.used = 0

    def begin(self) -> None:
        """All 0, nothing taken."""
        self.bytes[:], self.used = 0, 0

    def zeros(self, shape: Any, dtype: Any) -> Any:
        """Zeros on a line of 64 bytes."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start, self.used = self.used, self.used + -(-size // 64) * 64 + 64
        if self.used > ROOM:
            raise MemoryError(f"a call takes more than {ROOM} bytes")
        return self.bytes[start : start + size].view(dtype).reshape(shape)

    def copy(self, array: Any) -> Any:
        """The same numbers there."""
        made = self.zeros(np.shape(array), np.asarray(array).dtype)
        made[...] = array
        return made


@dataclass
class Case:
    """A call: what it is, its code, and memory before and after."""

    name: str
    objects: list[bytes]
    team: int
    words: int
    """The address of its record."""
    before: bytes
    after: bytes


class Recorder:
    """Calls the engine of this machine, and keeps what each call was."""

    def __init__(self) -> None:
        self.there, here = machines()
        self.engine = CompiledEngine(np.dtype(np.float32), here)
        self.arena = Arena()
        self.found: list[Case] = []

    def record(self, name: str, act: Callable[[], object]) -> None:
        """The call of machine code that `act` makes."""
        self.arena.begin()
        units: list[Any] = []
        make = calls.Call.__init__

        def making(one: Any, engine: Any, unit: Any, *rest: Any) -> None:
            units.append(unit)
            make(one, engine, unit, *rest)

        def run(address: int, words: int, threads: int = 1, on_interrupt: Any = None) -> None:
            record = self.arena.bytes[words - PLACE :][: 8 * len(Word)].view(np.int64)
            if not PLACE <= record[Word.ORDER] < PLACE + ROOM:  # a call's own
                order = (ctypes.c_int64 * int(record[Word.SAMPLES])).from_address(int(record[Word.ORDER]))
                record[Word.ORDER] = self.arena.copy(np.ctypeslib.as_array(order)).ctypes.data
            before = self.arena.bytes[: self.arena.used].tobytes()
            unit = units[-1]
            team.run(address, words, threads, on_interrupt)
            layout = replace(self.engine.layout, target=self.there)
            binary = jit.object_code(lower(plan(unit.program, unit.plan.recipe, layout)))
            after = self.arena.bytes[: self.arena.used].tobytes()
            self.found.append(Case(name, list(jit.objects(binary)), threads, words, before, after))

        zeros = self.arena.zeros
        with (
            mock.patch.multiple(pack, aligned=zeros, zeros=zeros, seldom=zeros),
            mock.patch.object(calls.Call, "__init__", making),
            mock.patch.object(calls, "team", mock.Mock(run=run, yield_address=team.yield_address)),
        ):
            self.engine._idle.clear()
            act()
            self.engine._idle.clear()

    def training(self, name: str, layers: list[Any], features: int, precision: Any, batch: int, threads: int) -> None:
        """An epoch of three steps, the last of fewer samples."""
        rng = np.random.default_rng(3)
        net = cr.Network(features, layers, "squared_error", precision=precision, engine="reference")
        program = net.training_program(cr.SGD(momentum=0.9))
        samples = 2 * batch + batch // 3
        outputs = int(program.prediction.shape[1])

        def act() -> None:
            given = {"X": (samples, features), "Y": (samples, outputs)}
            data = {k: self.arena.copy(rng.standard_normal(shape).astype("f")) for k, shape in given.items()}
            order = self.arena.copy(rng.permutation(samples))
            session = self.engine.open(program, net.parameters)
            with mock.patch("chainrule.engines.compiled.engine.present", return_value=64):
                session.epoch(Epoch(data, order, batch, np.full(3, 0.01), 1, 0, threads))

        self.record(f"{name}, {precision}, batches of {batch}, {threads} threads", act)

    def product(self, form: str, precision: str, m: int, k: int, n: int) -> None:
        """One product."""
        program = product(form, PARTS[precision], m, k, n)
        rng = np.random.default_rng(4)
        shapes = {"A": (m, k), "D": (m, n), "W": (k, n)}

        def act() -> None:
            given = {s.name: self.arena.copy(rng.standard_normal(shapes[s.name]).astype("f")) for s in program.given}
            self.engine.run(program, {**given, BATCH: np.float32(m)}, ("C",))

        self.record(f"{form} of ({m}, {k}, {n}), {precision}", act)


def cases() -> list[Case]:
    """All that is tried."""
    recorder = Recorder()
    plain = [cr.Dense(70, "relu"), cr.Dense(33, "tanh"), cr.Dense(5)]
    mixed = [
        cr.Dense(70, "relu"), cr.GroupedDense(9, "tanh", groups=2), cr.Members(3),
        cr.SharedDense(11, "relu", members=3), cr.MeanOfMembers(3), cr.Dense(1),
    ]  # fmt: skip
    for precision in ("medium", "high"):
        for batch, threads in ((32, 1), (50, 2)):
            recorder.training("784-70-33-5", plain, 784, precision, batch, threads)
        recorder.training("groups and members", mixed, 23, precision, 40, 1)
        recorder.training("in chunks", plain, 41, precision, 600, 2)
        for form in FORMS:
            for m, k, n in ((1, 40, 40), (33, 4, 31), (47, 129, 66), (95, 1100, 20)):
                recorder.product(form, precision, m, k, n)
    wide = [cr.Dense(400, "relu"), cr.Dense(420, "tanh"), cr.Dense(5)]  # by tiles it pays
    for batch, threads in ((300, 1), (270, 2), (600, 2)):
        recorder.training("400-400-420-5", wide, 400, "highest", batch, threads)
    for form in FORMS:
        for m, k, n in ((1, 40, 40), (33, 4, 31), (47, 129, 66), (95, 1100, 20)):
            recorder.product(form, "three parts", m, k, n)
    return recorder.found


# --- the program ------------------------------------------------------------------------------------------------------

HARNESS = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cpuid.h>
#include <immintrin.h>
#include <signal.h>
#include <ucontext.h>

struct Case {
    const char *name;
    void (*run)(void *, long, long);
    long team;
    unsigned long words, yield, size;
    const unsigned char *before, *after;
};
extern const struct Case cases[];
extern const int count;

struct Share { const struct Case *one; long tid; unsigned in_use; };

static int emulated, granted;

/* --- the tiles' instructions, carried out where the processor has none ------------------------------------------- */

struct Tiles { unsigned char palette, rows[8]; unsigned short bytes[8]; unsigned char data[8][16][64]; unsigned used; };
static __thread struct Tiles tiles;
static long carried_out;

static void illegal(const char *why, const unsigned char *at)
{
    char text[160];
    int n = snprintf(text, sizeof text, "illegal: %s, at %02x %02x %02x %02x %02x\n",
                     why, at[0], at[1], at[2], at[3], at[4]);
    if (write(1, text, n) < 0) _exit(4);
    signal(SIGILL, SIG_DFL);
    raise(SIGILL);
    _exit(3);
}

static float of_bf16(unsigned short x)
{
    unsigned bits = (unsigned)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void dot(unsigned c, unsigned a, unsigned b, const unsigned char *at)  /* TDPBF16PS: C += A B */
{
    struct Tiles *t = &tiles;
    if (c == a || c == b || a == b) illegal("one tile twice", at);
    if (!t->rows[a] || !t->rows[b] || !t->rows[c]) illegal("a tile that is not configured", at);
    if (t->bytes[a] % 4 || t->bytes[b] % 4 || t->bytes[c] % 4) illegal("parts of words", at);
    if (t->rows[c] != t->rows[a] || t->bytes[c] != t->bytes[b] || t->bytes[a] / 4 != t->rows[b])
        illegal("shapes that do not fit", at);
    for (int m = 0; m < t->rows[c]; m++)
        for (int n = 0; n < t->bytes[c] / 4; n++) {
            const unsigned short *left = (const unsigned short *)t->data[a][m];
            __m128 even = _mm_setzero_ps(), odd = even, sum;
            for (int k = 0; k < t->rows[b]; k++) {
                const unsigned short *right = (const unsigned short *)t->data[b][k] + 2 * n;
                even = _mm_fmadd_ss(_mm_set_ss(of_bf16(left[2 * k])), _mm_set_ss(of_bf16(right[0])), even);
                odd = _mm_fmadd_ss(_mm_set_ss(of_bf16(left[2 * k + 1])), _mm_set_ss(of_bf16(right[1])), odd);
            }
            sum = _mm_add_ss(_mm_load_ss((float *)t->data[c][m] + n), _mm_add_ss(even, odd));
            _mm_store_ss((float *)t->data[c][m] + n, sum);
        }
    t->used |= 1u << c;
}

static void carry_out(int number, siginfo_t *about, void *given)
{
    static const int place[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    greg_t *registers = ((ucontext_t *)given)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)registers[REG_RIP], *next = at + 5;
    struct Tiles *t = &tiles;
    (void)number, (void)about;
    if (at[0] != 0xc4 || (at[1] & 31) != 2 || (at[2] & 0x84)) illegal("another instruction", at);
    if (!granted) illegal("not granted", at);
    _mm_setcsr(0x1f80 | 0x8040);  /* to the nearest, subnormal numbers are 0; the end of the handler sets it back */
    __atomic_fetch_add(&carried_out, 1, __ATOMIC_RELAXED);
    unsigned prefix = at[2] & 3, others = ~at[2] >> 3 & 15, kind = at[3], mod = at[4] >> 6;
    unsigned reg = at[4] >> 3 & 7, rm = at[4] & 7, scale = 0;
    const int has_sib = mod != 3 && rm == 4;
    unsigned long address = 0, stride = 0;
    if (!(at[1] & 0x80)) illegal("no such tile", at);
    if (mod != 3) {
        long more = 0;
        unsigned base = rm;
        if (has_sib) {
            unsigned index = (*next >> 3 & 7) | (at[1] & 0x40 ? 0 : 8);
            scale = *next >> 6, base = *next++ & 7;
            if (index != 4) stride = (unsigned long)registers[place[index]] << scale;
        }
        if (mod == 0 && base == 5) {  /* beside the next instruction, or an address alone */
            int far;
            memcpy(&far, next, 4), next += 4;
            address = (has_sib ? 0 : (unsigned long)next) + far;
        } else {
            if (mod == 1) more = (signed char)*next++;
            if (mod == 2) { int far; memcpy(&far, next, 4), next += 4, more = far; }
            address = registers[place[base | (at[1] & 0x20 ? 0 : 8)]] + more;
        }
    }
    unsigned char *memory = (unsigned char *)address;
    if (kind == 0x49 && prefix == 0 && mod != 3) {  /* LDTILECFG */
        memory += stride;
        if (reg) illegal("no such instruction", at);
        memset(t, 0, sizeof *t);
        if (memory[0] > 1) illegal("no such palette", at);
        for (int k = 1; k < 16; k++) if (memory[k]) illegal("reserved bytes", at);
        for (int k = 32; k < 48; k++) if (memory[k]) illegal("reserved bytes", at);
        for (int k = 56; k < 64; k++) if (memory[k]) illegal("reserved bytes", at);
        for (int k = 0; memory[0] && k < 8; k++) {
            memcpy(t->bytes + k, memory + 16 + 2 * k, 2), t->rows[k] = memory[48 + k];
            if (t->bytes[k] > 64 || t->rows[k] > 16 || !t->bytes[k] != !t->rows[k]) illegal("no such shape", at);
        }
        t->palette = memory[0];
    } else if (kind == 0x49 && prefix == 0 && at[4] == 0xc0) {  /* TILERELEASE */
        memset(t, 0, sizeof *t);
    } else if (!t->palette) {
        illegal("tiles are not configured", at);
    } else if (kind == 0x49 && prefix == 3 && mod == 3 && !rm) {  /* TILEZERO */
        if (!t->rows[reg]) illegal("a tile that is not configured", at);
        memset(t->data[reg], 0, sizeof t->data[reg]);
    } else if (kind == 0x4b && has_sib && prefix >= 1) {  /* TILELOADD, TILELOADDT1, TILESTORED */
        if (!t->rows[reg]) illegal("a tile that is not configured", at);
        if (prefix != 2) memset(t->data[reg], 0, sizeof t->data[reg]), t->used |= 1u << reg;
        for (int r = 0; r < t->rows[reg]; r++, memory += stride)
            if (prefix == 2) memcpy(memory, t->data[reg][r], t->bytes[reg]);
            else memcpy(t->data[reg][r], memory, t->bytes[reg]);
    } else if (kind == 0x5c && prefix == 2 && mod == 3 && others < 8) {
        dot(reg, rm, others, at);
    } else {
        illegal("no such instruction", at);
    }
    registers[REG_RIP] = (greg_t)next;
}

static unsigned in_use(void)  /* the states of the processor that are not as at first: 17 and 18 are those of tiles */
{
    unsigned low, high;
    if (emulated) return tiles.palette != 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low >> 17 & 3;
}

static void *work(void *given)
{
    struct Share *share = given;
    share->one->run((void *)share->one->words, share->tid, share->one->team);
    share->in_use = in_use();
    return NULL;
}

static int try(const struct Case *one)
{
    struct Share shares[16];
    pthread_t threads[16];
    unsigned char *memory = (unsigned char *)PLACE;
    memcpy(memory, one->before, one->size);
    memset(memory + one->size, 0, 4096);
    *(void **)(memory + one->yield) = (void *)sched_yield;
    unsigned left = 0;
    for (long t = 0; t < one->team; t++) {
        shares[t] = (struct Share){one, t, 0};
        if (t && pthread_create(threads + t, NULL, work, shares + t)) return printf("no thread\n"), 1;
    }
    work(shares);
    for (long t = 1; t < one->team; t++) pthread_join(threads[t], NULL);
    for (long t = 0; t < one->team; t++) left |= shares[t].in_use;
    memcpy(memory + one->yield, one->after + one->yield, 8);
    long others = 0, changed = 0;
    double worst = 0;
    const float *found = (const float *)memory, *meant = (const float *)one->after;
    for (unsigned long k = 0; k < one->size / 4; k++) {
        changed += memcmp(one->before + 4 * k, one->after + 4 * k, 4) != 0;
        if (memcmp(found + k, meant + k, 4)) {
            double scale = fabs((double)meant[k]), off = fabs((double)found[k] - meant[k]);
            if (!others++) printf("  first at word %lu: %.9g for %.9g\n", k, found[k], meant[k]);
            if (!(off / (scale > 1e-6 ? scale : 1e-6) <= worst)) worst = off / (scale > 1e-6 ? scale : 1e-6);
        }
    }
    printf("%s: %ld words written, %ld are other bits", one->name, changed, others);
    if (others) printf(", off by %.2g at most", worst);
    printf("%s\n", left ? ", TILES NOT RELEASED" : "");
    return others || left;
}

int main(void)
{
    unsigned a, b, c, d, brand[13] = {0};
    for (unsigned k = 0, *to = brand; k < 3; k++, to += 4) __get_cpuid(0x80000002 + k, to, to + 1, to + 2, to + 3);
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s; amx-tile %u, amx-bf16 %u\n", (char *)brand, d >> 24 & 1, d >> 22 & 1);
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap((void *)PLACE, ROOM, PROT_READ | PROT_WRITE, how, -1, 0) != (void *)PLACE) return printf("no memory\n"), 2;
    int bad = 0, status = 0;
    emulated = !(d >> 24 & 1 && d >> 22 & 1);
    if (emulated) {
        struct sigaction action = {.sa_sigaction = carry_out, .sa_flags = SA_SIGINFO | SA_NODEFER};
        sigaction(SIGILL, &action, NULL);
    }
    pid_t child = fork();
    if (!child) { try(cases); _exit(0); }
    waitpid(child, &status, 0);
    printf("before the system was asked: %s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ran");
    long refused = emulated ? 0 : syscall(158, 0x1023, 18);
    granted = !refused;
    printf("%s: %s\n", emulated ? "no tiles here" : "the system was asked",
           emulated ? "their instructions are carried out one by one" : refused ? "refused" : "granted");
    if (!refused) {
        child = fork();
        if (!child) _exit(try(cases));
        waitpid(child, &status, 0);
        printf("in a forked child: %s\n", status ? "WRONG" : "the same");
        bad += status != 0;
        for (int k = 0; k < count; k++) bad += try(cases + k);
    }
    if (emulated) printf("%ld instructions were carried out\n", carried_out);
    printf("%d of %d calls gave other bits or kept tiles\n", bad, count);
    return refused || bad;
}
"""


def built(found: list[Case], program: Path) -> None:
    """Compiles and links the program."""
    tools = {name: shutil.which(name) for name in ("gcc", "ld", "objcopy")}
    if missing := [name for name, there in tools.items() if there is None]:
        raise SystemExit(f"not found: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def do(*command: object) -> None:
            subprocess.run([str(word) for word in command], check=True, cwd=place)

        data, table, linked = [".section .rodata\n"], [], []
        for number, one in enumerate(found):
            names = []
            for k, binary in enumerate(one.objects):
                names.append(f"{number}_{k}.o")
                (place / names[-1]).write_bytes(binary)
            whole = f"{number}.o"
            do("ld", "-r", "-o", whole, *names)
            do("objcopy", "--keep-global-symbol", RUN, whole)
            do("objcopy", "--redefine-sym", f"{RUN}=run_{number}", whole)
            linked.append(whole)
            for when, memory in (("before", one.before), ("after", one.after)):
                (place / f"{when}_{number}").write_bytes(memory)
                data.append(f'.global {when}_{number}\n.balign 64\n{when}_{number}: .incbin "{when}_{number}"\n')
            table.append(
                f'{{"{one.name}", run_{number}, {one.team}, {one.words:#x}, '
                f"{one.words - PLACE + 8 * Word.YIELD}, {len(one.before)}, before_{number}, after_{number}}}"
            )
        externs = "".join(
            f"extern void run_{k}(void *, long, long); extern const unsigned char before_{k}[], after_{k}[];\n"
            for k in range(len(found))
        )
        source = f"#define PLACE {PLACE:#x}UL\n#define ROOM {ROOM:#x}UL\n{HARNESS}\n{externs}"
        source += f"const struct Case cases[] = {{\n{', '.join(table)}}};\nconst int count = {len(found)};\n"
        (place / "data.s").write_text("".join(data) + '.section .note.GNU-stack,"",@progbits\n', encoding="utf-8")
        (place / "main.c").write_text(source, encoding="utf-8")
        do(
            "gcc",
            "-O2",
            "-mfma",
            "-static",
            "-no-pie",
            "-pthread",
            "-o",
            program.resolve(),
            "main.c",
            "data.s",
            *linked,
            "-lm",
        )


def main() -> int:
    """Writes what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    args = parser.parse_args()
    found = cases()
    built(found, args.program)
    print(f"{args.program}: {len(found)} calls")
    return 0


if __name__ == "__main__":
    sys.exit(main())
