# SPDX-License-Identifier: MIT
# The proofs of the core.  `make proofs UNIT=size` is for one unit; proofs/README.md says what is proved.

# The long ones first, so that both processors are busy to the end.
PROVED = hdr geo geo_place live checked span joined inside check $(filter-out hdr geo geo_place span check,$(CORE))
SAMPLE ?= 3

# tests/check.mk has a UNIT of its own.
units = $(if $(filter command,$(origin UNIT)),$(UNIT),$(1))

# With its usual small nursery frama-c spends a third of its time moving what soon dies.
proofs proofs-eva proofs-mutants check-eacsl: export OCAMLRUNPARAM ?= s=8M

proofs: deps ## prove the core; UNIT=size for one unit
	@JOBS=$(JOBS) proofs/all $(call units,$(PROVED))

proofs-eva: deps ## Eva on the decoder, with any bytes of any length
	@proofs/eva

proofs-mutants: deps ## break the core mechanically; SAMPLE=n of each unit, or SAMPLE= for all
	@JOBS=$(JOBS) SAMPLE=$(SAMPLE) proofs/mutants $(call units,$(CORE))

check-eacsl: deps ## run unit tests over the core with its contracts executed
	@proofs/eacsl

.PHONY: proofs proofs-eva proofs-mutants check-eacsl
