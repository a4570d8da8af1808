# docker build -t mim . && docker run --gpus all --ipc=host --rm -v "$PWD:/work" mim train trainer=gpu
FROM python:3.12-slim
# compile=true needs a C compiler
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && apt-get clean
WORKDIR /mim
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY configs configs
COPY src src
RUN pip install --no-cache-dir .
WORKDIR /work
ENTRYPOINT ["python", "-m", "mim"]
