"""Calls of models that run outside of the compiled program: number of images, threads and concurrency."""

import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift import cores
from cnnshift.catalog import PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.errors import InputError, MeasurementError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.host_callback import host_callback
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.sweep import batching, engine
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.sweep.sweep_inputs import SweepInputs


def images(n):
    pixels = np.random.RandomState(0).randint(0, 256, (n, 8, 8, 1)).astype(np.uint8)
    return Split(pixels, np.arange(n, dtype=np.int32) % 5, tuple("abcde"), (0.0,))


class Counted:
    """A function of numpy arrays that records its calls: sizes, threads, and the largest number of concurrent calls."""

    def __init__(self, seconds=0.0):
        self.seconds, self.sizes, self.threads, self.concurrent, self._inside = seconds, [], set(), 0, 0
        self._lock = threading.Lock()

    def __call__(self, x):
        with self._lock:
            self._inside += 1
            self.concurrent = max(self.concurrent, self._inside)
            self.sizes.append(len(x))
            self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        with self._lock:
            self._inside -= 1
        return x.reshape(len(x), -1)[:, :5]


def sweep(function, n, shifts=8, *, progress=lambda done: None, batch_size=None, width=None, **called):
    call = host_callback(function, **called)
    test = images(n)
    moves = enumerate_shifts(f"random:{shifts}", max_shift=4, step=1, size=test.size, wraps=True, images=n)
    protocol = PROTOCOLS.load("circular")(test.size, reach=moves.reach)
    model = as_pure_model(LoadedModel(call))
    return engine.run_sweep(model, test, protocol, moves, batch_size=batch_size, width=width, progress=progress)


@pytest.fixture
def fastest(monkeypatch):
    """Replace the trials: calls of one size are the fastest, with a rate in images/s."""

    def set_to(size, rate):
        monkeypatch.setattr(batching, "_fastest_size", lambda inputs, sizes: (size, rate))

    return set_to


@pytest.mark.parametrize(
    ("n", "size", "sizes", "batch"),
    [
        (12, 3, {3}, 12),
        (7, 3, {3, 2}, 7),
        # Two batches of two calls would be one call more.
        (130, 64, {44}, 44),
        (96, 128, {96}, 96),
        # 131 calls are prime; 132 are two batches.
        (131, 1, {1}, 66),
    ],
)
def test_short_calls_are_joined_in_balanced_batches(fastest, n, size, sizes, batch):
    fastest(size, 1e9)
    function = Counted()
    found = sweep(function, n, 12)
    # The first call determines the number of classes.
    assert (set(function.sizes[1:]), found.batch_size) == (sizes, batch)


def test_long_calls_are_not_joined(fastest):
    fastest(3, 100.0)
    function, steps = Counted(), []
    found = sweep(function, 12, 50, progress=steps.append)
    assert (set(function.sizes[1:]), found.batch_size) == ({3}, 3)
    # Nor are more than 33 shifts of three images, which take a second.
    assert max(steps) <= 3 * 33
    assert sum(steps) == 12 * 50


def test_every_worker_has_calls(fastest, monkeypatch):
    monkeypatch.setattr(cores, "num_workers", lambda: 2)
    fastest(16, 1e5)
    function = Counted(seconds=0.002)
    sweep(function, 20, 9, concurrent=True)
    # The reference of the next batch runs in the thread of the sweep.
    assert function.concurrent >= 2


def test_every_worker_is_busy_without_trials(monkeypatch):
    monkeypatch.setattr(cores, "num_workers", lambda: 2)
    function, steps = Counted(seconds=0.002), []
    sweep(function, 4, 6, concurrent=True, progress=steps.append)
    assert function.concurrent >= 2
    assert steps == [4] * 6


@pytest.mark.parametrize("width", [None, 1])
@pytest.mark.parametrize(("n", "each"), [(130, 3), (64, 1), (40, 1)])
def test_fixed_batches_are_filled_with_the_fewest_calls(fastest, n, each, width):
    fastest(64, 1e9)
    function = Counted()
    sweep(function, n, 6, fixed_batch=64, width=width)
    # Further calls: the number of classes, and the unshifted images of each batch and of the compilation.
    assert set(function.sizes) == {64}
    assert each * 7 <= len(function.sizes) <= each * 7 + 3


def test_fixed_batch_larger_than_the_data_holds_several_shifts(fastest):
    fastest(64, 64 / 0.2)
    function, steps = Counted(), []
    found = sweep(function, 5, 48, fixed_batch=64, progress=steps.append)
    # Twelve shifts of five images per call, and at most five such calls per second.
    assert (set(function.sizes), found.width) == ({64}, 12)
    assert max(steps) <= 5 * 12 * 5
    assert len(function.sizes) <= 4 + 4
    other = sweep(Counted(), 5, 48)
    np.testing.assert_array_equal(found.observations.prediction, other.observations.prediction)


def test_every_worker_is_busy_with_a_given_batch_size(monkeypatch):
    monkeypatch.setattr(cores, "num_workers", lambda: 2)
    function, steps = Counted(seconds=0.002), []
    sweep(function, 20, 24, concurrent=True, batch_size=20, progress=steps.append)
    assert function.concurrent >= 2
    assert len(steps) == 8


def test_nothing_is_timed_with_a_given_size(monkeypatch):
    monkeypatch.setattr(batching, "_fastest_size", lambda inputs, sizes: pytest.fail("timed"))
    for size in ({"batch_size": 5}, {"width": 1}):
        sweep(Counted(), 10, **size)


def test_fastest_size_has_the_highest_throughput():
    class Steep(Counted):
        """A function whose time is constant up to four images and quadratic beyond."""

        def __call__(self, x):
            self.seconds = 0.004 * max(1.0, len(x) / 4) ** 2
            return super().__call__(x)

    call = host_callback(Steep())
    test = images(64)
    moves = enumerate_shifts("grid", max_shift=4, step=1, size=test.size, wraps=True, images=64)
    protocol = PROTOCOLS.load("circular")(test.size, reach=moves.reach)
    model = as_pure_model(LoadedModel(call))
    size, rate = batching._fastest_size(SweepInputs(model, test, protocol, moves), [1, 2, 4, 8, 16, 32])
    assert size == 4
    assert 500 < rate <= 1000


def test_sequential_functions_share_one_thread():
    first, second = Counted(seconds=0.001), Counted(seconds=0.001)
    sweep(first, 12)
    sweep(second, 12)
    assert first.concurrent == second.concurrent == 1
    assert len(first.threads | second.threads) == 1
    assert threading.get_ident() not in first.threads


def test_host_callback_inside_a_host_callback():
    def inner(x):
        return x.reshape(len(x), -1)[:, :5]

    def outer(x):
        return np.asarray(host_callback(inner)(jnp.asarray(x)))

    assert sweep(outer, 3, 4).observations.prediction.shape == (3, 4)


def test_function_that_measures_a_model_is_refused():
    test = images(3)

    def outer(x):
        cnnshift.measure(lambda x: np.asarray(x).reshape(len(x), -1)[:, :5], (test.images, test.labels), max_shift=1)
        return x.reshape(len(x), -1)[:, :5]

    with pytest.raises(InputError, match=r"^A model that runs on the host measures another model; allowed: a function"):
        cnnshift.measure(lambda x: outer(np.asarray(x)), (test.images, test.labels), max_shift=1)


class Hungry(Counted):
    """A function whose memory suffices for `most` images."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def __call__(self, x):
        # The first call determines the number of classes.
        if self.sizes and len(x) > self.most:
            raise MemoryError(f"Unable to allocate {len(x)} images")
        return super().__call__(x)


def test_sizes_that_exceed_the_memory_are_not_chosen():
    assert sweep(Hungry(4), 64, 48).observations.prediction.shape == (64, 48)
    assert sweep(Hungry(4), 64, 8, batch_size=16).batch_size == 4


def test_fixed_batch_is_not_halved():
    function = Hungry(4)
    with pytest.raises(MeasurementError, match=r"^The fixed batch of 8 images does not fit"):
        sweep(function, 20, 8, fixed_batch=8)


def test_module_can_measure_itself_while_it_is_imported(tmp_path, monkeypatch):
    # An import holds a lock that the factory and its model need too.
    (tmp_path / "measures_itself.py").write_text(
        "import threading\n\nimport numpy as np\n\nimport cnnshift\n\nFIRST = []\n\n\n"
        "def make():\n    import measures_itself\n    FIRST.append(threading.current_thread())\n"
        "    return lambda x: np.asarray(x).reshape(len(x), -1)[:, :5]\n\n\n"
        "DATA = (np.random.RandomState(0).randint(0, 256, (6, 8, 8, 1)).astype(np.uint8), np.arange(6) % 5)\n"
        "FOUND = cnnshift.measure('py:measures_itself:make', DATA, max_shift=1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import measures_itself

    assert measures_itself.FOUND.dataset.size == (8, 8)
    assert {threading.current_thread()} == set(measures_itself.FIRST)
    del sys.modules["measures_itself"]
    test = images(6)
    assert cnnshift.measure("py:measures_itself:make", (test.images, test.labels), max_shift=1).dataset.size == (8, 8)
