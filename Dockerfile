# fingerprint-api. The two images are of one Debian, so that the native engine finds the C library it was linked with.
FROM node:24-bookworm-slim AS node

FROM rust:1.95-bookworm AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /src

# What changes least comes first, so that a build after a change of the source begins with what is cached.
COPY .npmrc package.json package-lock.json ./
COPY scripts/reference/package.json scripts/reference/
# Not `npm ci`: docs/decisions/npm-install.md.
RUN npm install --no-save --no-audit --no-fund
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY npm npm
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
COPY LICENSE README.md CHANGELOG.md ./
# What is packed for npm, and what that needs, in the versions of the lockfile: docs/decisions/two-packages.md.
RUN node scripts/build/build.mjs && node scripts/build/assemble.mjs /app

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="fingerprint-api" \
      org.opencontainers.image.description="Identifies clients by how they connect, within rate limits and quotas" \
      org.opencontainers.image.source="https://github.com/tollkeeper/tollkeeper" \
      org.opencontainers.image.licenses="MIT"
# Nothing is installed at run time; what could is one more thing to keep patched.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn-* \
      /usr/local/bin/yarn /usr/local/bin/yarnpkg \
    && install -d -o 10001 -g 10001 /data
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 RATE_LIMIT_FILE=/data/tollkeeper.redb
COPY --from=build /app ./
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
