# On a CPU; never built by us. The demo, into ./runs; or any other command:
#   docker build -t trsum . && docker run --rm -v "$PWD:/here" trsum [summarize holiday.mp4]
FROM python:3.11-slim
COPY . /source
RUN pip install --no-cache-dir '/source[video,timeline]'
WORKDIR /here
ENTRYPOINT ["trsum"]
CMD ["train", "demo"]
