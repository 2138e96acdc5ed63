# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# More workers than cores, as tests wait much; tests/conftest.py divides the tests among them.
WORKERS = -n 6
# The tests are compiled once, not by each worker of each run.
unexport PYTHONDONTWRITEBYTECODE
COMMITTED = $(shell git log -1 --format=%ct)

.PHONY: help check checked test prove fuzz test-systemd test-browser demo bench soak docs wheel lock deb test-deb image test-image build/source clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# mypy takes one core: pytest compiles the tests on the other, once and not once in each worker.
checked: .venv/installed
	@$(BIN)/pytest --collect-only --quiet >/dev/null 2>&1 & $(MAKE) --no-print-directory check; status=$$?; \
		wait; exit $$status

demo: .venv/installed ## sandbox, example patients and daemon, end to end
	$(BIN)/gcwatch demo

check: .venv/installed ## lint, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: checked ## what CI runs; a crash at every kind of point
	$(BIN)/pytest $(WORKERS) $(ARGS)

prove: checked ## every test; a crash at every single point, longer searches: before a release
	$(BIN)/pytest $(WORKERS) -m '' $(ARGS)

fuzz: .venv/installed ## files drawn to break parsers, a minute each; ARGS="png --seconds 600" for one
	$(BIN)/python -m tests.fuzz $(ARGS)

test-systemd: .venv/installed ## the service in a booted Debian; says why where that can't be
	$(BIN)/pytest -rs tests/system/booted.py $(ARGS)

test-browser: .venv/browser ## the status page in Debian's chromium; screenshots in build/screenshots
	$(BIN)/pytest -rs tests/system/browser.py $(ARGS)

docs/status-page.png: .venv/browser gcwatch/wording/page/*
	PYTHONPATH=tests $(BIN)/python -m support.browser $@

.venv/browser: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,browser]'
	touch $@

bench: .venv/installed ## what gcwatch takes; ARGS=idle for one of the measurements
	PYTHONPATH=tests $(BIN)/python -m tests.bench $(ARGS)

soak: .venv/installed ## 2000 cases under faults, reloads and kills; MINUTES=2 for a short one, SEED=… for the same
	PYTHONPATH=tests $(BIN)/python -m soak --minutes $(or $(MINUTES),15) $(if $(SEED),--seed $(SEED)) $(ARGS)

docs: .venv/installed ## events.md, configuration.md, status.svg and the reasons in docs/, from the code
	$(BIN)/python -c 'from gcwatch import log; print(log.reference(), end="")' > docs/events.md
	$(BIN)/python -c 'from gcwatch import config; print(config.reference(), end="")' > docs/configuration.md
	$(BIN)/python -c 'from pathlib import Path; from gcwatch.wording import case_view; page = Path("docs/troubleshooting.md"); page.write_text(case_view.page_with_reasons(page.read_text()))'
	$(BIN)/python -c 'from pathlib import Path; from gcwatch.wording import metrics; page = Path("docs/service.md"); page.write_text(metrics.page_with_metrics(page.read_text()))'
	PYTHONPATH=tests $(BIN)/python -m support.importer.table docs/images.md
	$(BIN)/python docs/screenshot.py > docs/status.svg

build/source: .venv/installed
	rm -rf $@ && mkdir -p $@ dist
	git archive HEAD | tar --extract --directory $@

wheel: build/source ## dist/gcwatch-*.whl, of the last commit
	rm -f dist/gcwatch-*.whl
	SOURCE_DATE_EPOCH=$(COMMITTED) $(BIN)/python -m build --wheel --no-isolation --outdir dist $<

lock: .venv/installed ## requirements.lock; newer versions: make lock ARGS=--upgrade
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --extra postgres $(ARGS) --output-file requirements.lock pyproject.toml

deb: wheel ## dist/gcwatch_*.deb, of the last commit, with Debian's own tools
	SOURCE_DATE_EPOCH=$(COMMITTED) debian/build build/source dist

test-deb: deb ## install, upgrade and remove it in a clean Debian, as root
	GCWATCH_DEB=$$(realpath dist/gcwatch_*.deb) $(BIN)/pytest tests/system/test_deb.py $(ARGS)

image: deb ## dist/gcwatch-image.tar, an OCI image of that package, as root, with Debian's mmdebstrap
	SOURCE_DATE_EPOCH=$(COMMITTED) /usr/bin/python3 debian/image.py dist/gcwatch_*.deb dist/gcwatch-image.tar

test-image: .venv/installed ## build the image and start it; says why where that can't be
	@if [ "$$(id -u)" = 0 ] && command -v mmdebstrap && command -v dpkg-buildpackage; then \
		$(MAKE) image && GCWATCH_IMAGE=$$(realpath dist/gcwatch-image.tar) \
			$(BIN)/pytest -rs tests/system/test_image.py $(ARGS); \
	else echo "skipped: make image needs root, Debian's mmdebstrap and what make deb needs"; fi

clean: ## remove what was made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache *.egg-info build dist
