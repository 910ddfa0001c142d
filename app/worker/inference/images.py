"""Candidates → images the reranker can take, decoded on a few threads ahead of the device.

A copy that is missing or damaged fails that candidate, with a sentence, never the request.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from app.worker.inference.caches import ImageFeatureCache
from app.worker.inference.model import AnyReranker, PreparedImage, VisualFeatures
from indexer.gallery.image_store import ImageStore
from models.contracts.rerank import Candidate
from models.datasets.images import ImageLimits, InvalidImage, decode_image

_log = logging.getLogger(__name__)


class UnusableCandidate(Exception):
    """The candidate cannot be scored; the message is a sentence."""


@dataclass(frozen=True)
class CandidateImage:
    """A candidate ready for the device: as cached visual features, or else as pixels.

    Attributes:
        candidate: Which one.
        prepared: Its re-rank copy, prepared; None where there are features.
        features: Its visual features, where they are cached.
    """

    candidate: Candidate
    prepared: PreparedImage | None = None
    features: VisualFeatures | None = None


class CandidateImages:
    """Reads re-rank copies from the image store and prepares them."""

    def __init__(
        self,
        store: ImageStore,
        reranker: AnyReranker,
        features: ImageFeatureCache,
        decode_threads: int,
    ) -> None:
        self._store = store
        self._reranker = reranker
        self._features = features
        self._pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")

    def fetch(self, candidate: Candidate) -> "Future[CandidateImage]":
        """Start to read a candidate. The future raises `UnusableCandidate` and nothing else."""
        cached = self._features.get(candidate.copy_key)
        if cached is None:
            return self._pool.submit(self._read, candidate)
        ready: Future[CandidateImage] = Future()
        ready.set_result(CandidateImage(candidate, features=cached))
        return ready

    def close(self) -> None:
        """Stop decoding; reads that wait are cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, candidate: Candidate) -> CandidateImage:
        try:
            data = self._store.path_of(*candidate.copy_key).read_bytes()
            # re-rank copies are small: the decoder's default limits do
            image = decode_image(data, ImageLimits())
            return CandidateImage(candidate, prepared=self._reranker.prepare(image))
        except FileNotFoundError:
            raise UnusableCandidate(
                "the image store has no re-rank copy of it; build the gallery again"
            ) from None
        except InvalidImage as error:
            raise UnusableCandidate(f"its re-rank copy cannot be used: {error}") from error
        except OSError as error:  # its text holds paths of this machine
            raise UnusableCandidate(f"its re-rank copy cannot be read: {error.strerror}") from error
        except Exception as error:
            _log.exception("candidate %s cannot be prepared", candidate.image_id)
            raise UnusableCandidate(
                "its re-rank copy cannot be prepared for the reranker"
            ) from error
