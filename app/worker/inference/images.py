"""Candidates → pictures the reranker can see, decoded on a few threads ahead of the device.

A copy that is missing or damaged is a sentence about that candidate, never an error of the request.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from app.worker.inference.caches import ImageFeatureCache
from app.worker.inference.model import PreparedImage, RerankerModel, VisualFeatures
from indexer.gallery.image_store import ImageStore
from models.contracts.rerank import Candidate
from models.datasets.images import ImageLimits, InvalidImage, decode_image

_log = logging.getLogger(__name__)


class UnusableCandidate(Exception):
    """The candidate cannot be judged; the message is a sentence."""


@dataclass(frozen=True)
class CandidateImage:
    """A candidate ready for the device: as visual features if they are known, else as pixels."""

    candidate: Candidate
    prepared: PreparedImage | None = None
    features: VisualFeatures | None = None


class CandidateImages:
    """Reads re-rank copies from the image store and prepares them."""

    def __init__(
        self,
        store: ImageStore,
        reranker: RerankerModel,
        features: ImageFeatureCache,
        decode_threads: int,
    ) -> None:
        self._store = store
        self._reranker = reranker
        self._features = features
        self._pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")

    def fetch(self, candidate: Candidate) -> "Future[CandidateImage]":
        """Begin to read a candidate. The future raises `UnusableCandidate`, or nothing."""
        known = self._features.get(candidate.copy_key)
        if known is None:
            return self._pool.submit(self._read, candidate)
        ready: Future[CandidateImage] = Future()
        ready.set_result(CandidateImage(candidate, features=known))
        return ready

    def close(self) -> None:
        """Stop decoding; what has not begun never will."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, candidate: Candidate) -> CandidateImage:
        try:
            data = self._store.path_of(*candidate.copy_key).read_bytes()
            # copies are our own indexer's: small, so the decoder's default limits do
            picture = decode_image(data, ImageLimits())
            return CandidateImage(candidate, prepared=self._reranker.prepare(picture))
        except FileNotFoundError:
            raise UnusableCandidate(
                "the image store has no re-rank copy of it; build the gallery again"
            ) from None
        except InvalidImage as error:
            raise UnusableCandidate(f"its re-rank copy cannot be used: {error}") from error
        except OSError as error:  # its text would tell our paths
            raise UnusableCandidate(f"its re-rank copy cannot be read: {error.strerror}") from error
        except Exception as error:
            _log.exception("candidate %s cannot be prepared", candidate.image_id)
            raise UnusableCandidate(
                "its re-rank copy cannot be prepared for the reranker"
            ) from error
