# SPDX-License-Identifier: MIT
# The proofs of the core.  `make proofs UNIT=size` is for one unit; proofs/README.md says what is proved.

PROVED = size crc hdr geo span run check
UNIT ?= $(PROVED)
PAR ?= 2
PROOF_PACKAGES = frama-c-base why3 z3 cvc4 libgmp-dev

proof-deps:
	@missing=$$(for p in $(PROOF_PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | \
		grep -qx installed || echo $$p; done | tr '\n' ' '); \
	[ -z "$$missing" ] && exit 0; \
	install="apt-get install -y --no-install-recommends $$missing"; \
	if [ "$$(id -u)" != 0 ]; then echo "Please run: sudo $$install"; exit 1; fi; \
	echo "Installing $$missing"; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -q && $$install </dev/null

proofs: proof-deps ## prove the core; UNIT=size for one unit
	@PAR=$(PAR) proofs/all $(UNIT)

proofs-eva: proof-deps ## Eva on the decoder, with any bytes of any length
	@proofs/eva

proofs-mutants: proof-deps ## break the core mechanically; SAMPLE=n, UNIT=size
	@PAR=$(PAR) SAMPLE=$(SAMPLE) proofs/mutants $(UNIT)

check-eacsl: proof-deps ## run unit tests over the core with its contracts executed
	@proofs/eacsl

.PHONY: proofs proof-deps proofs-eva proofs-mutants check-eacsl
