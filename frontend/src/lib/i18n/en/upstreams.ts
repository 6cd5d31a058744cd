export const upstreams = {
  title: "Upstreams and models",
};
