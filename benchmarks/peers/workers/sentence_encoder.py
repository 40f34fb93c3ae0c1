"""sentence-transformers: FOLDER TEXTS VECTORS; prints the seconds that texts take, as JSON.

Run with its own Python. FOLDER holds a model's weights, TEXTS a list as JSON; VECTORS is the NumPy
file to write.
"""

import json
import resource
import sys
import time

import numpy as np
from sentence_transformers import SentenceTransformer

folder, texts, vectors = sys.argv[1:]
with open(texts, encoding="utf-8") as file:
    sentences = json.load(file)
model = SentenceTransformer(folder, device="cpu", local_files_only=True)
model.encode(sentences[:64])
began = time.perf_counter()
encoded = model.encode(sentences, batch_size=64, show_progress_bar=False)
seconds = time.perf_counter() - began
np.save(vectors, encoded)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_gib": peak / 2**20}))
